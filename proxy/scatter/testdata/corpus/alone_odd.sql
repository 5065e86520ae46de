UPDATE users SET score = score + 1 FROM payments p WHERE p.user_id = users.id AND p.n = 3 RETURNING users.id, users.score;

UPDATE users u SET country = c.id + 100 FROM countries c WHERE c.id = u.country AND c.name IS NOT NULL;

UPDATE users u SET score = (SELECT avg(score) FROM users) WHERE id < 0;

UPDATE users u SET (email, country) = (SELECT max(note), min(n) FROM payments p WHERE p.user_id = u.id);

UPDATE users u SET (email, country) = ROW('x', DEFAULT) WHERE id = 6;

UPDATE users SET email = DEFAULT, score = NULL WHERE country IN (SELECT id FROM countries WHERE name IS NULL);

UPDATE payments p SET n = x.c FROM (SELECT user_id, count(*) AS c FROM payments GROUP BY user_id) x WHERE x.user_id = p.user_id;

UPDATE payments p SET n = x.c FROM (SELECT n, count(*)::int AS c FROM payments GROUP BY n) x WHERE x.n = p.n;

UPDATE users SET id = id WHERE country = 1;

UPDATE users SET id = id + 1 WHERE id IN (6, 13) RETURNING id;

UPDATE users SET id = 6 WHERE id = 13;

UPDATE users SET id = -id, email = upper(email) WHERE country = 2 RETURNING *;

UPDATE users SET id = NULL WHERE country = 2;

UPDATE users SET nothing = 1;

UPDATE countries SET name = name || '!' WHERE id IN (SELECT country FROM users WHERE id = 6);

UPDATE countries SET name = (SELECT max(email) FROM users) WHERE id = 2;

DELETE FROM users u USING payments p WHERE p.user_id = u.id AND p.n = 4 RETURNING u.id;

DELETE FROM users u USING countries c WHERE c.id = u.country RETURNING u.id, c.name;

DELETE FROM users u USING users v WHERE u.country = v.country AND u.id > v.id;

DELETE FROM payments WHERE user_id NOT IN (SELECT id FROM users);

DELETE FROM payments p WHERE NOT EXISTS (SELECT 1 FROM users u WHERE u.id = p.user_id);

DELETE FROM payments WHERE id IN (SELECT id FROM payments ORDER BY amount LIMIT 5);

DELETE FROM countries WHERE id NOT IN (SELECT country FROM users WHERE country IS NOT NULL);

DELETE FROM users WHERE id IN (WITH x AS (SELECT max(id) AS m FROM users) SELECT m FROM x) RETURNING *;

INSERT INTO users VALUES (6, 'dup') ON CONFLICT DO NOTHING RETURNING *;

INSERT INTO users (id, email) VALUES (6, 'a'), (5000, 'b'), (13, 'c') ON CONFLICT (id) DO UPDATE SET email = excluded.email, country = users.country + 10 WHERE users.country IS NOT NULL RETURNING id, email, country;

INSERT INTO users (id, email) VALUES (7000, 'a'), (7000, 'b') ON CONFLICT (id) DO UPDATE SET email = excluded.email;

INSERT INTO users (id, email) VALUES (7000, 'a'), (7000, 'b') ON CONFLICT (id) DO NOTHING;

INSERT INTO users (id, email) SELECT id, 'again' FROM users WHERE country = 1 ON CONFLICT ON CONSTRAINT users_pkey DO UPDATE SET email = excluded.email || users.id RETURNING id, email;

INSERT INTO users (id, email) SELECT user_id, max(note) FROM payments GROUP BY user_id ON CONFLICT (id) DO NOTHING;

INSERT INTO countries SELECT country + 50, min(email) FROM users WHERE country IS NOT NULL GROUP BY country RETURNING *;

INSERT INTO countries VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = countries.name || excluded.name RETURNING *;

INSERT INTO countries VALUES (60, (SELECT email FROM users WHERE id = 6));

INSERT INTO payments (id, user_id, amount) VALUES (5000, 6, 'NaN'), (5001, 13, 'Infinity'), (5002, 20, -0.0), (5003, NULL, 1e-20) RETURNING user_id, amount;

INSERT INTO payments (user_id, f) VALUES (6, '-0'), (13, 'NaN'), (20, '-Infinity'), (27, 5e-324) RETURNING user_id, f;

INSERT INTO payments (user_id, note) VALUES ('6', E'a\tb\\'), ('13', U&'\00e9'), (20, $$quo'te$$), (27, 'a' 'b');

INSERT INTO payments (user_id, note) VALUES (6::text::bigint, 'x'), (length('thirteen chars'), 'y'), ((SELECT max(id) FROM users), 'z') RETURNING user_id, note;

INSERT INTO payments (user_id) SELECT id FROM users ORDER BY score DESC NULLS LAST, id LIMIT 4 RETURNING user_id;

INSERT INTO payments (user_id, n) SELECT u.id, row_number() OVER (ORDER BY u.id) FROM users u WHERE country = 1 RETURNING user_id, n;

INSERT INTO payments (id, user_id) SELECT g, g * 7 - 50 FROM generate_series(1, 20) g EXCEPT SELECT id, user_id FROM payments;

INSERT INTO payments (id, user_id) VALUES (1, 6.4), (2, '12'), (3, 12.5);

INSERT INTO payments (id, user_id) VALUES (1, 99999999999999999999);

WITH moved AS (DELETE FROM payments WHERE n = 1 RETURNING *) INSERT INTO payments SELECT id + 10000, user_id, amount, n + 100, note, f FROM moved RETURNING id, n;

WITH a AS (UPDATE users SET score = 0 WHERE country = 1 RETURNING id), b AS (DELETE FROM payments WHERE user_id IN (SELECT id FROM a) RETURNING user_id, amount) SELECT user_id, sum(amount) FROM b GROUP BY user_id;

WITH a AS (INSERT INTO users (id, country) VALUES (8000, 1), (8001, 2) RETURNING *), b AS (INSERT INTO payments (id, user_id) SELECT country, id FROM a RETURNING *) SELECT * FROM a JOIN b ON b.user_id = a.id;

WITH a AS (DELETE FROM users WHERE country = 1 RETURNING id) SELECT count(*), (SELECT count(*) FROM a), (SELECT count(*) FROM payments WHERE user_id IN (SELECT id FROM a)) FROM users;

WITH a AS (UPDATE users SET country = 50 WHERE country = 1 RETURNING *), b AS (UPDATE payments SET n = 99 WHERE user_id IN (SELECT id FROM users WHERE country = 1) RETURNING *) SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b);

WITH a AS (UPDATE users SET country = 50 WHERE country = 1 RETURNING id), b AS (UPDATE users SET country = 60 WHERE country = 2 RETURNING id) SELECT * FROM a UNION ALL SELECT * FROM b;

WITH a AS (INSERT INTO users (id) VALUES (9000) RETURNING id), b AS (INSERT INTO users (id) VALUES (9001), (9002) RETURNING id) SELECT * FROM a UNION ALL SELECT * FROM b;

WITH a AS (DELETE FROM users WHERE country = 1 RETURNING id), b AS (UPDATE users SET country = 1 WHERE country = 2 RETURNING id) SELECT * FROM a UNION ALL SELECT -id FROM b;

WITH a AS (INSERT INTO users (id) VALUES (9000)), b AS (DELETE FROM users WHERE id = 9000 RETURNING id) SELECT count(*) FROM b;

WITH a AS (UPDATE users SET email = 'a' WHERE country = 1), b AS (DELETE FROM users WHERE country = 1) SELECT count(*) FROM users;

WITH a AS (DELETE FROM users WHERE country = 1 RETURNING id) DELETE FROM users WHERE country = 2 RETURNING id;

WITH a AS (UPDATE users SET score = score + 1 WHERE id < 0 RETURNING id, score) UPDATE users u SET score = a.score FROM a WHERE u.id = a.id + 70 RETURNING u.id, u.score;

WITH a AS (DELETE FROM payments WHERE n = 1 RETURNING user_id, amount) UPDATE users SET score = score + s.t FROM (SELECT user_id, sum(amount) % 10 AS t FROM a GROUP BY user_id) s WHERE s.user_id = users.id RETURNING users.id, score;

WITH a AS (INSERT INTO countries VALUES (70, 'new') RETURNING *) SELECT a.*, (SELECT count(*) FROM countries) FROM a;

WITH a AS (INSERT INTO countries VALUES (70, 'new') RETURNING id) INSERT INTO users (id, country) SELECT 9100, id FROM a RETURNING id, country;

MERGE INTO users u USING payments p ON p.user_id = u.id AND p.n = 7 WHEN MATCHED THEN UPDATE SET email = p.note WHEN NOT MATCHED AND p.n = 7 THEN INSERT (id, email) VALUES (p.user_id, p.note);

MERGE INTO users u USING countries c ON c.id + 55 = u.id WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id, email) VALUES (c.id + 55, c.name);

MERGE INTO users u USING (SELECT user_id, count(*) AS c FROM payments GROUP BY user_id) p ON p.user_id = u.id WHEN MATCHED AND p.c > 3 THEN DELETE WHEN MATCHED THEN UPDATE SET country = p.c WHEN NOT MATCHED THEN DO NOTHING;

MERGE INTO users u USING (SELECT n, max(note) AS m FROM payments GROUP BY n) p ON p.n = u.id WHEN MATCHED THEN UPDATE SET email = m WHEN NOT MATCHED THEN INSERT (id, email) VALUES (p.n, p.m);

MERGE INTO users u USING payments p ON p.n = u.country WHEN MATCHED THEN DO NOTHING WHEN NOT MATCHED THEN INSERT (id, email) VALUES (p.id + 20000, p.note);

MERGE INTO users u USING (VALUES (6, 'six'), (5001, 'new')) v(k, e) ON u.id = v.k WHEN MATCHED THEN UPDATE SET email = v.e WHEN NOT MATCHED THEN INSERT (id, email) VALUES (v.k, v.e);

MERGE INTO users u USING (VALUES (6, 'six'), (5001, 'new')) v(k, e) ON u.id = v.k WHEN NOT MATCHED THEN INSERT (id, email) VALUES (v.k + 1, v.e);

MERGE INTO users u USING (VALUES (6, 'six'), (5001, 'new')) v(k, e) ON u.id = v.k WHEN MATCHED THEN DO NOTHING WHEN NOT MATCHED THEN INSERT (id, email) VALUES (7777, v.e);

MERGE INTO users u USING payments p ON u.id = p.id WHEN NOT MATCHED AND p.n = 2 THEN INSERT (id, email) VALUES (p.id * 1000 + 3, 'computed');

MERGE INTO payments p USING users u ON u.id = p.user_id WHEN MATCHED THEN UPDATE SET note = u.email WHEN NOT MATCHED THEN INSERT (id, user_id) VALUES (u.country, u.id);

MERGE INTO payments p USING users u ON u.country = p.n WHEN NOT MATCHED THEN INSERT (id, user_id) VALUES (u.country, u.id) WHEN MATCHED THEN DO NOTHING;

MERGE INTO countries c USING (SELECT DISTINCT country FROM users WHERE country IS NOT NULL) u ON u.country = c.id WHEN MATCHED THEN UPDATE SET name = 'seen' WHEN NOT MATCHED THEN INSERT VALUES (u.country, 'unseen');

MERGE INTO users u USING users v ON u.id = v.id + 7 WHEN MATCHED THEN UPDATE SET score = v.score;

MERGE INTO users u USING users v ON u.id = v.id AND v.country = 1 WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id) VALUES (v.id);

TRUNCATE payments;

TRUNCATE users, payments RESTART IDENTITY CASCADE;

DO $$ BEGIN UPDATE countries SET name = 'do'; END $$;

SELECT count(*) FROM (SELECT 1 FROM users WHERE id > 0 FOR UPDATE) x;

CREATE INDEX ON users (email);

ALTER TABLE users ADD COLUMN extra int DEFAULT 7;

ALTER TABLE payments RENAME COLUMN note TO remark;

ALTER TABLE users ADD CHECK (score >= 0);

ALTER TABLE users ADD CHECK (id < 100);

CREATE UNIQUE INDEX ON countries (name);

CREATE VIEW v AS SELECT 1 AS x;

COMMENT ON TABLE users IS 'people';

LOCK TABLE users IN EXCLUSIVE MODE;

GRANT SELECT ON users TO PUBLIC;

SELECT set_config('search_path', 'public', true), count(*) FROM users;

MERGE INTO users u USING payments p ON false WHEN NOT MATCHED THEN INSERT (id, email) VALUES (p.id + 3000, CASE WHEN p.amount > 40 THEN 'big' ELSE 'small' END);

WITH x AS (SELECT id + 2 AS k, id * 7 AS name FROM countries) MERGE INTO users u USING x ON x.k = u.id WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id, email) VALUES (x.k + 500, x.name::text);

MERGE INTO users USING (SELECT id, note FROM payments) p ON id = p.id WHEN NOT MATCHED THEN INSERT (id, email) VALUES (p.id + 3000, p.note);

MERGE INTO users u USING payments p ON p.n = u.country WHEN NOT MATCHED AND random() < 0.5 THEN INSERT (id) VALUES (p.id + 3000) WHEN NOT MATCHED THEN INSERT (id) VALUES (p.id + 3000);

EXPLAIN (ANALYZE 2) UPDATE users SET id = id + 1000;

EXPLAIN (ANALYZE, FORMAT bogus) UPDATE users SET id = id + 1000;

EXPLAIN (BOGUS) UPDATE users SET id = id + 1000;

DO $$ BEGIN EXECUTE format('INSERT INTO %I VALUES (%L)', 'users', 3001); END $$;
