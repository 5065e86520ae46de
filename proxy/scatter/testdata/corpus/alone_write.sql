INSERT INTO users VALUES (1001, 'n1', 1, 'a', 1.5), (1002, 'n2', 2, 'b', 2.5), (1003, NULL, NULL, NULL, NULL) RETURNING id, email;

INSERT INTO users (id, email) SELECT id + 2000, note FROM payments WHERE id < 20 RETURNING id;

INSERT INTO users (id, email) SELECT id + 3000, email FROM users WHERE id BETWEEN 0 AND 50;

INSERT INTO users (id) SELECT g FROM generate_series(4001, 4010) g RETURNING *;

INSERT INTO users (id) TABLE countries ON CONFLICT (id) DO NOTHING;

INSERT INTO payments (id, user_id, amount) SELECT 9000 + id, id, score FROM users WHERE country = 2 RETURNING user_id, amount;

INSERT INTO payments (id, user_id, n) WITH x AS (SELECT n, count(*) AS c FROM payments GROUP BY n) SELECT 9500 + coalesce(n, 99), coalesce(n, 99), c FROM x RETURNING id, n;

WITH x AS (SELECT id FROM users WHERE country = 1) INSERT INTO payments (id, user_id) SELECT 9700, id FROM x;

WITH x AS (SELECT n, count(*) AS c FROM payments GROUP BY n) INSERT INTO payments (id, user_id, n) SELECT 9600 + coalesce(n, 99), coalesce(n, 99), c FROM x;

INSERT INTO users VALUES (1001, 'dup', 1) ON CONFLICT (id) DO UPDATE SET email = excluded.email || '!' RETURNING id, email;

INSERT INTO users VALUES (1001, 'dup', 1), (1002, 'dup', 1), (1004, 'new', 1) ON CONFLICT (id) DO UPDATE SET email = excluded.email || '?', country = users.country + 1 RETURNING id, email, country;

INSERT INTO users VALUES (1001), (1005) ON CONFLICT DO NOTHING RETURNING id;

INSERT INTO users VALUES (1001, 'x', 1), (1006, 'y', 2) ON CONFLICT ON CONSTRAINT users_pkey DO UPDATE SET email = 'c' RETURNING id, email;

INSERT INTO users VALUES (1001);

INSERT INTO users VALUES (1007), (1001), (1008);

SELECT count(*) FROM users WHERE id IN (1007, 1008);

UPDATE users SET score = score + 1 WHERE country = 2 RETURNING id, score, upper(email);

UPDATE users SET email = 'z' WHERE id IN (1001, 1002, 1003) RETURNING *;

UPDATE users u SET email = c.name FROM countries c WHERE c.id = u.country AND u.id < 100 RETURNING u.id, c.name;

UPDATE payments p SET note = u.email FROM users u WHERE u.id = p.user_id AND u.country = 3 RETURNING p.id, p.note;

UPDATE payments p SET n = x.c FROM (SELECT user_id, count(*) AS c FROM payments GROUP BY user_id) x WHERE x.user_id = p.user_id RETURNING p.id, p.n;

UPDATE users SET score = (SELECT sum(amount) FROM payments p WHERE p.user_id = users.id AND amount < 100) WHERE country = 1 RETURNING id, score;

UPDATE users SET country = (SELECT max(id) FROM countries) WHERE id < 20 RETURNING id, country;

UPDATE users SET (email, country) = (SELECT name, id FROM countries WHERE id = 2) WHERE id > 330 RETURNING id, email, country;

UPDATE users SET email = 'none' WHERE id IN (SELECT user_id FROM payments WHERE n = 2) RETURNING id;

UPDATE users SET email = 'nothing' WHERE NOT EXISTS (SELECT FROM payments WHERE user_id = users.id) RETURNING id;

UPDATE users SET score = 1 WHERE false RETURNING id;

UPDATE users SET code = 'q' WHERE score > (SELECT avg(score) FROM users) RETURNING id;

UPDATE users SET code = 'r' WHERE country IN (SELECT n FROM payments WHERE amount > 80) RETURNING id;

UPDATE users u SET code = 's' FROM payments p WHERE p.note = u.email RETURNING u.id;

DELETE FROM payments WHERE note = u.email;

DELETE FROM payments p USING users u WHERE u.id = p.user_id AND u.country = 4 RETURNING p.id, u.id;

DELETE FROM payments WHERE n IN (SELECT id FROM countries WHERE name IS NULL) RETURNING id;

DELETE FROM payments WHERE amount > (SELECT 2 * avg(amount) FROM payments) RETURNING id;

DELETE FROM payments WHERE user_id IN (SELECT id FROM users WHERE email = 'Bob') RETURNING id, n;

DELETE FROM users WHERE id > 4000 RETURNING id;

MERGE INTO users u USING (SELECT user_id, sum(amount) AS s FROM payments GROUP BY user_id) p ON p.user_id = u.id WHEN MATCHED AND p.s > 100 THEN UPDATE SET score = 99 WHEN MATCHED THEN DO NOTHING WHEN NOT MATCHED THEN INSERT (id, email) VALUES (p.user_id, 'merged');

MERGE INTO users u USING payments p ON p.user_id = u.id AND p.id = 3 WHEN MATCHED THEN DELETE;

MERGE INTO payments p USING users u ON u.id = p.user_id AND p.n = 1 WHEN MATCHED THEN UPDATE SET note = u.email WHEN NOT MATCHED THEN INSERT (id, user_id, note) VALUES (-1, u.id, 'from merge');

MERGE INTO users u USING (VALUES (6, 'a'), (13, 'b'), (7777, 'c')) v(id, e) ON u.id = v.id WHEN MATCHED THEN UPDATE SET email = v.e WHEN NOT MATCHED THEN INSERT (id, email) VALUES (v.id, v.e);

MERGE INTO users u USING countries c ON u.country = c.id WHEN MATCHED THEN UPDATE SET email = c.name;

MERGE INTO users u USING countries c ON u.id = c.id WHEN MATCHED THEN UPDATE SET email = c.name WHEN NOT MATCHED THEN INSERT (id, email) VALUES (c.id, c.name);

MERGE INTO countries c USING (VALUES (1, 'one'), (50, 'fifty')) v(id, name) ON c.id = v.id WHEN MATCHED THEN UPDATE SET name = v.name WHEN NOT MATCHED THEN INSERT VALUES (v.id, v.name);

MERGE INTO users u USING (SELECT 13 AS id) s ON u.id = s.id WHEN MATCHED THEN UPDATE SET email = 'thirteen';

MERGE INTO users u USING payments p ON p.note = u.email WHEN MATCHED AND p.id = 5 THEN UPDATE SET score = 5;

MERGE INTO users u USING (SELECT DISTINCT n FROM payments WHERE n IS NOT NULL) p ON u.id = p.n + 20000 WHEN NOT MATCHED THEN INSERT (id, email) VALUES (p.n + 20000, 'fed');

WITH d AS (DELETE FROM payments WHERE n = 5 RETURNING id, amount) SELECT count(*), sum(amount) FROM d;

WITH d AS (DELETE FROM payments WHERE n = 6 RETURNING id) SELECT id FROM d;

WITH u AS (UPDATE users SET score = 0 WHERE country = 3 RETURNING id, email) SELECT id, email FROM u WHERE id > 0;

WITH i AS (INSERT INTO users (id, email) VALUES (5001, 'w1'), (5002, 'w2') RETURNING id, email) SELECT * FROM i;

WITH i AS (INSERT INTO users (id, email) VALUES (5003, 'w1') RETURNING id) INSERT INTO payments (id, user_id) SELECT 1, id FROM i;

WITH i AS (INSERT INTO users (id, email) VALUES (5013, 'w1') RETURNING id) INSERT INTO payments (id, user_id) SELECT 1, id FROM i RETURNING user_id;

WITH i AS (INSERT INTO users (id, email) VALUES (5004, 'w1'), (5005, 'w5') RETURNING id) INSERT INTO payments (id, user_id) SELECT 2, id FROM i;

WITH d AS (DELETE FROM payments WHERE user_id = 6 RETURNING *) INSERT INTO payments SELECT id, 13, amount, n, note, f FROM d;

WITH moved AS (DELETE FROM payments WHERE id < 5 RETURNING user_id, amount) UPDATE users SET score = 7 FROM moved WHERE users.id = moved.user_id;

WITH moved AS (DELETE FROM payments WHERE id BETWEEN 6 AND 9 RETURNING user_id, amount) UPDATE users SET score = moved.amount FROM moved WHERE users.id = moved.user_id RETURNING users.id, score;

WITH d AS (DELETE FROM payments WHERE user_id = 20 RETURNING *) SELECT u.id, d.id FROM users u JOIN d ON d.user_id = u.id;

WITH i AS (INSERT INTO countries VALUES (77, 'new') RETURNING id) SELECT * FROM i;

WITH c AS (UPDATE countries SET name = 'upd' WHERE id = 77 RETURNING id, name) SELECT * FROM c;

WITH c AS (DELETE FROM countries WHERE id = 77 RETURNING id) SELECT u.id FROM users u, c WHERE u.id < 10;

WITH a AS (UPDATE users SET email = 'a1' WHERE id = 27 RETURNING id), b AS (UPDATE payments SET note = 'b1' WHERE user_id = 34 RETURNING user_id) SELECT * FROM a UNION ALL SELECT * FROM b;

WITH a AS (UPDATE users SET email = 'a2' WHERE id = 27 RETURNING id) SELECT email FROM users WHERE id = 27;

WITH a AS (UPDATE users SET email = 'a2' RETURNING id) SELECT count(*) FROM users WHERE email = 'a2';

WITH a AS (INSERT INTO payments (id, user_id) SELECT 31, id FROM users WHERE country = 5 RETURNING user_id) SELECT count(*) FROM a;

WITH a AS (DELETE FROM users WHERE id = 5001) DELETE FROM payments WHERE user_id = 5003;

UPDATE users SET id = 10027 WHERE id = 27;

UPDATE users SET id = id + 100000 WHERE id IN (34, 41, 48);

UPDATE users SET id = id + 100000 WHERE id IN (55, 62) RETURNING id, email;

UPDATE payments SET user_id = user_id + 1 WHERE n = 4;

UPDATE payments SET user_id = 6 WHERE user_id = 13 RETURNING id;

UPDATE countries SET name = 'X' WHERE id = 2 RETURNING *;

INSERT INTO countries VALUES (60, 'six'), (61, 'sixone') RETURNING id, name;

INSERT INTO countries VALUES (60, 'six again') ON CONFLICT (id) DO UPDATE SET name = excluded.name RETURNING name;

DELETE FROM countries WHERE id = 61 RETURNING *;

DELETE FROM countries WHERE id IN (SELECT country FROM users WHERE country = 60);

UPDATE countries SET name = (SELECT count(*)::text FROM users) WHERE id = 1;

INSERT INTO countries SELECT id::int + 100000, email FROM users WHERE id BETWEEN 0 AND 30;

INSERT INTO countries SELECT n + 500, max(note) FROM payments WHERE n > 1 GROUP BY n RETURNING id;

DELETE FROM users WHERE id = (SELECT max(user_id) FROM payments) RETURNING id;

DELETE FROM users WHERE id IN (SELECT user_id FROM payments ORDER BY amount DESC LIMIT 3) RETURNING id;

UPDATE users SET email = 'lim' WHERE id IN (SELECT id FROM users ORDER BY score NULLS LAST, id LIMIT 4) RETURNING id;

INSERT INTO users (email, id) VALUES ('swapped', 30001), (upper('x') || 'y', 30002), (DEFAULT, 30003) RETURNING id, email;

INSERT INTO users VALUES (30004, (SELECT name FROM countries WHERE id = 2)), (30005, 'q') RETURNING email;

INSERT INTO users VALUES (30006, (SELECT email FROM users WHERE id = 6)), (30007, 'q') RETURNING id, email;

INSERT INTO users (id) VALUES (30000 + 8), (30000 + 9) RETURNING id;

INSERT INTO users (id, email) VALUES (length('abcdef') * 10000, 'computed') RETURNING id;

INSERT INTO users (id, email) VALUES ((SELECT max(id) FROM countries), 'sub');

TRUNCATE payments;

SELECT count(*) FROM payments;

SELECT id, email, country, code, score FROM users;

SELECT * FROM countries
;

WITH x AS (DELETE FROM payments WHERE n = 3 RETURNING *) SELECT count(*), (SELECT count(*) FROM x) FROM payments;

WITH x AS (UPDATE users SET score = 1 RETURNING id) SELECT u.id, u.score FROM users u JOIN x USING (id) WHERE u.id > 30;

WITH x AS (DELETE FROM payments WHERE n = 4 RETURNING user_id), y AS (SELECT count(*) AS n FROM payments) SELECT n, (SELECT count(*) FROM x) FROM y;

WITH x AS (INSERT INTO payments (id, user_id, amount) VALUES (90001, 3, 1) RETURNING user_id) SELECT count(*) FROM users u WHERE NOT EXISTS (SELECT 1 FROM payments p WHERE p.user_id = u.id);

MERGE INTO users u USING (SELECT DISTINCT n FROM payments WHERE n IS NOT NULL) p ON p.n + 5 = u.id AND u.country IS NOT NULL WHEN MATCHED THEN UPDATE SET email = 'm' || p.n WHEN NOT MATCHED AND p.n > 3 THEN INSERT (email, id) VALUES ('new', p.n + 5);

MERGE INTO users u USING (SELECT DISTINCT n FROM payments WHERE n IS NOT NULL) p ON u.id = (p.n * 2 + 1) WHEN MATCHED AND u.id < 10 THEN DELETE WHEN MATCHED THEN DO NOTHING WHEN NOT MATCHED THEN INSERT (id) VALUES ((p.n * 2 + 1));

INSERT INTO users SELECT 6000 + g FROM generate_series(1, 5) g;

INSERT INTO users SELECT id + 7000, email FROM users WHERE id < 20 RETURNING id, email, country;

INSERT INTO users TABLE countries ON CONFLICT DO NOTHING;
UPDATE payments SET user_id = NULL, note = NULL WHERE id < 5;

UPDATE payments SET user_id = NULL WHERE id < 9 RETURNING id, user_id;

UPDATE users SET id = NULL WHERE id < 3;

UPDATE users SET (email, id) = ('q', id + 2000) WHERE id < 4;

UPDATE users SET (email, id) = ROW('q', id + 2000), score = 5 WHERE id < 4 RETURNING *;

UPDATE users SET (id, email) = ('q', id + 2000) WHERE id < 4;

UPDATE users u SET id = c.id + 1000, email = c.name FROM countries c WHERE c.id = u.id AND c.id < 5;

UPDATE users u SET id = u.id + 1000 FROM (VALUES (1), (2), (3)) v(x) WHERE v.x = u.id;

UPDATE users SET id = users.id + 1000 FROM countries WHERE false;

UPDATE payments p SET user_id = u.id + 1 FROM users u WHERE u.id = p.id AND p.id < 20;

WITH x AS (SELECT id FROM countries WHERE id < 4) UPDATE users u SET id = u.id + 1000 FROM x WHERE x.id = u.id;

WITH x AS (SELECT 3 AS k) UPDATE users SET id = id + 3000 WHERE id = (SELECT k FROM x) RETURNING id;

