WITH a AS (INSERT INTO users (id, country) VALUES (9000, 1), (9001, 2) RETURNING id), b AS (DELETE FROM users WHERE country = 1 RETURNING id) SELECT 'a', id FROM a UNION ALL SELECT 'b', id FROM b;

WITH a AS (INSERT INTO users (id, country) VALUES (9000, 1), (9001, 2)) UPDATE users SET email = 'old one' WHERE country = 1 RETURNING id, email;

WITH a AS (INSERT INTO users (id, country) VALUES (9000, 1), (9001, 2)) UPDATE users SET email = 'old one' WHERE country = 1;

WITH a AS (INSERT INTO users (id, country) SELECT id + 10000, 1 FROM users) DELETE FROM users WHERE country = 1;

WITH a AS (INSERT INTO users (id, country) SELECT id + 10000, 1 FROM users) DELETE FROM users WHERE country = 1 RETURNING id, email;

WITH a AS (INSERT INTO users (id, email) SELECT id + 10000, 'copy' FROM users RETURNING id) DELETE FROM users WHERE id IN (SELECT id - 10000 FROM a) RETURNING id;

WITH u AS (UPDATE users SET email = 'up' WHERE country = 2 RETURNING id) INSERT INTO users (id, email) SELECT id + 10000, 'new' FROM u RETURNING id;

WITH d AS (DELETE FROM users WHERE country = 2 RETURNING *), i AS (INSERT INTO users SELECT id + 10000, email, 3 FROM d RETURNING id), u AS (UPDATE users SET email = 'three' WHERE country = 3 RETURNING id) SELECT (SELECT count(*) FROM d), (SELECT count(*) FROM i), (SELECT count(*) FROM u), (SELECT count(*) FROM users);

WITH a AS (UPDATE users SET score = score - 1 WHERE id = 6 RETURNING id, score), b AS (UPDATE users SET score = score + 1 WHERE id = 13 RETURNING id, score) SELECT * FROM a UNION ALL SELECT * FROM b;

WITH a AS (UPDATE users SET score = score - 1 WHERE id = 6 RETURNING id) UPDATE users SET score = score + 1 WHERE id = 20 RETURNING id, score;

WITH a AS (UPDATE users SET score = 1 WHERE id IN (6, 13, 20)) UPDATE users SET score = 2 WHERE id IN (27, -8) AND email IS NOT NULL RETURNING id;

WITH a AS (UPDATE users SET score = 1 WHERE country = 1) UPDATE users SET score = 2 WHERE country = 2;

WITH a AS (UPDATE users SET score = 1 WHERE code = 'a' RETURNING id), b AS (DELETE FROM users WHERE code = 'B' RETURNING id), c AS (UPDATE users SET email = 'x' WHERE code = 'b' RETURNING id) SELECT 1, id FROM a UNION ALL SELECT 2, id FROM b UNION ALL SELECT 3, id FROM c;

WITH a AS (UPDATE users SET country = 2 WHERE country = 1) UPDATE users SET score = 2 WHERE country = 2;

WITH a AS (UPDATE users SET score = 1 WHERE id = 6) UPDATE users SET score = 2 WHERE id = 6;

WITH a AS (UPDATE users SET score = 1 WHERE country = 1) DELETE FROM users WHERE country IN (2, 1);

WITH a AS (UPDATE users SET id = id + 1000 WHERE country = 1 RETURNING id), b AS (DELETE FROM users WHERE country = 2 RETURNING id) SELECT * FROM a UNION ALL SELECT -id FROM b;

WITH a AS (UPDATE users SET id = id + 1000 WHERE id = 6 RETURNING id), b AS (DELETE FROM users WHERE id = 1006 RETURNING id) SELECT * FROM a UNION ALL SELECT -id FROM b;

WITH a AS (DELETE FROM users WHERE country = 1 RETURNING id), b AS (UPDATE users SET email = (SELECT count(*) FROM users)::text WHERE country = 2 RETURNING email) SELECT DISTINCT email FROM b;

WITH a AS (DELETE FROM countries WHERE id = 1 RETURNING id), b AS (UPDATE countries SET name = 'n' WHERE id = 2 RETURNING id) SELECT * FROM a UNION ALL SELECT * FROM b;

WITH a AS (INSERT INTO countries VALUES (50, 'x')) UPDATE countries SET name = 'n' WHERE id > 3 RETURNING id;

WITH a AS (INSERT INTO users (id) VALUES (9000)) MERGE INTO users u USING (VALUES (9000, 'again'), (6, 'six')) v(id, e) ON u.id = v.id WHEN MATCHED THEN UPDATE SET email = v.e;

WITH a AS (INSERT INTO payments (id, user_id) VALUES (1, 6)), b AS (INSERT INTO payments (id, user_id) SELECT 2, id FROM users WHERE country = 1 RETURNING user_id) INSERT INTO payments (id, user_id) SELECT 3, user_id FROM b RETURNING id, user_id;

WITH a AS (INSERT INTO users (id) VALUES (9000) RETURNING id), b AS (UPDATE users SET email = 'b' FROM a WHERE users.id = a.id - 8994 RETURNING users.id) SELECT * FROM b;

WITH a AS (UPDATE users SET email = 'a' WHERE id = 6), v AS (SELECT count(*) AS c FROM users WHERE email = 'a') SELECT c FROM v;

WITH a AS (INSERT INTO users (id) VALUES (9000)), v AS (SELECT id FROM users WHERE id IN (6, 9000)), b AS (UPDATE users SET email = 'b' WHERE id IN (SELECT id FROM v) RETURNING id) SELECT * FROM b;

