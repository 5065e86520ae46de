SELECT * FROM users_all WHERE id = 6;

SELECT email FROM users_some WHERE id IN (6, 13, 20);

-- ordered
SELECT * FROM users_all ORDER BY email, id LIMIT 5;

-- ordered
SELECT id, score FROM users_grouped WHERE score > 10 ORDER BY score DESC, id LIMIT 7 OFFSET 2;

SELECT count(*), sum(score), min(email), avg(country) FROM users_joined;

-- ordered
SELECT country, count(*) AS n FROM users_union GROUP BY country ORDER BY n DESC, country;

SELECT v.id, p.amount FROM users_paid v JOIN payments_all p ON p.user_id = v.id WHERE v.id = 13;

-- ordered
SELECT v.id, sum(p.amount) FROM users_all v LEFT JOIN payments_known p ON p.user_id = v.id GROUP BY v.id ORDER BY 1;

-- ordered
SELECT a.id, b.id FROM users_all a JOIN users_grouped b USING (id) ORDER BY 1 LIMIT 9;

SELECT DISTINCT country FROM users_some;

SELECT u.id FROM users_all u WHERE EXISTS (SELECT 1 FROM payments_known p WHERE p.user_id = u.id AND p.n > 3);

SELECT u.id FROM users u WHERE u.id IN (SELECT user_id FROM payments_all WHERE n = 3);

SELECT * FROM countries_all ORDER BY id;

SELECT c.name, u.id FROM countries_first c JOIN users_all u ON u.country = c.id;

SELECT u.*, c FROM users_all u LEFT JOIN countries_all c ON c.id = u.country WHERE u.id = 20;

-- ordered
SELECT id, rank() OVER (ORDER BY score, id) FROM users_all ORDER BY 2 LIMIT 4;

-- ordered
WITH x AS (SELECT user_id, count(*) AS c FROM payments_all GROUP BY user_id) SELECT x.user_id, x.c, v.email FROM x JOIN users_all v ON v.id = x.user_id ORDER BY 1;

SELECT users_all FROM users_all WHERE id = 6;

-- ordered
SELECT x FROM users_all x ORDER BY x.id LIMIT 2;

SELECT u.id FROM users_all u JOIN payments_unkeyed p ON p.user_id = u.id WHERE p.n = 2;

SELECT sum(amount), count(DISTINCT user_id) FROM payments_unkeyed;

-- ordered
SELECT id FROM users_all UNION SELECT user_id FROM payments_known ORDER BY 1 LIMIT 12;

SELECT id FROM users_all EXCEPT SELECT user_id FROM payments_known;

SELECT id FROM users_all WHERE id = 6 FOR UPDATE;

-- ordered
SELECT id FROM users_all ORDER BY id FOR SHARE;

-- ordered
SELECT a.x, a.y FROM users_all AS a (x, y) ORDER BY a.y NULLS FIRST, a.x LIMIT 5;

SELECT max(x) FROM (SELECT count(*) AS x FROM users_some GROUP BY country) s;

INSERT INTO users_all VALUES (5001, 'v', 1, 'a', 2.5) RETURNING *;

INSERT INTO users_all (email, id) VALUES ('v1', 5002), ('v2', 5003), ('v3', 5004) RETURNING id;

INSERT INTO users_some (id, email) VALUES (5005, 'hidden');

INSERT INTO users_all (id, email) SELECT user_id + 7000, note FROM payments_all WHERE n = 2 ON CONFLICT (id) DO NOTHING;

INSERT INTO payments_all (id, user_id, amount) SELECT 9000 + id, id, score FROM users_all WHERE country = 2 RETURNING user_id, amount;

INSERT INTO users_all VALUES (6, 'six') ON CONFLICT (id) DO UPDATE SET email = excluded.email || '!' RETURNING id, email;

UPDATE users_all SET email = 'changed' WHERE id = 6 RETURNING *;

UPDATE users_some SET score = score + 1 WHERE country > 1;

UPDATE users_all SET id = id + 1000 WHERE country = 1 RETURNING id;

UPDATE payments_all p SET note = u.email FROM users_all u WHERE u.id = p.user_id AND u.country = 2;

DELETE FROM users_some WHERE id IN (6, 13, 20) RETURNING id;

DELETE FROM payments_all USING users_grouped g WHERE g.id = payments_all.user_id AND g.score > 30;

DELETE FROM users_all;

UPDATE users_all SET score = 1 WHERE id IN (SELECT user_id FROM payments_known WHERE n = 1);

INSERT INTO countries_all VALUES (77, 'through');

UPDATE countries_all SET name = 'x' WHERE id = 3 RETURNING *;

DELETE FROM countries_all WHERE id = 5;

INSERT INTO countries (id, name) SELECT id + 100, name FROM countries_all;

CREATE TEMP VIEW tv AS SELECT * FROM countries;

CREATE MATERIALIZED VIEW mv AS SELECT user_id, sum(amount) AS total, count(*) AS n FROM payments GROUP BY user_id;

CREATE MATERIALIZED VIEW mv AS SELECT * FROM users_all WITH NO DATA;

SELECT pg_get_viewdef('users_grouped'::regclass);

COPY users_all TO STDOUT;

COPY (SELECT id, email FROM users_all WHERE id = 6) TO STDOUT;

LOCK TABLE users_all IN ACCESS SHARE MODE;

TRUNCATE users_all;

-- ordered
SELECT * FROM users_sorted;

-- ordered
SELECT id FROM users_sorted WHERE country > 1 LIMIT 7 OFFSET 1;

-- ordered
SELECT email FROM users_again LIMIT 9;

-- ordered
SELECT x.b, x.a FROM users_again AS x (a, b) OFFSET 5;

-- ordered
SELECT * FROM users_best LIMIT 6;

SELECT count(*), min(email) FROM users_sorted;

SELECT country, count(*) FROM users_sorted GROUP BY country;

-- ordered
SELECT id, lower(email) FROM users_sorted ORDER BY id DESC LIMIT 4;

-- ordered
SELECT * FROM users_best;

SELECT DISTINCT country FROM users_sorted;

-- ordered
SELECT id FROM users_sorted FOR UPDATE;

-- ordered
SELECT array_agg(id) FROM users_sorted;

-- ordered
SELECT json_agg(s) FROM users_sorted s WHERE country = 2;

-- ordered
SELECT ARRAY(SELECT id FROM users_again);

-- ordered
SELECT row_number() OVER (), email FROM users_sorted;

-- ordered
SELECT array_agg(id), array_agg(n) FROM users_best;

-- ordered
SELECT string_agg(x.b, ',') FROM users_sorted AS x (a, b) WHERE a > 20;

