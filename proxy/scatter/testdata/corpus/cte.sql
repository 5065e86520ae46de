WITH x AS (SELECT 1 AS a) SELECT a FROM x;

WITH u AS (SELECT * FROM users WHERE id = 6) SELECT u.email, p.n FROM u JOIN payments p ON p.user_id = u.id;

WITH p AS (SELECT user_id, sum(amount) AS s FROM payments GROUP BY user_id) SELECT u.id, p.s FROM users u LEFT JOIN p ON p.user_id = u.id;

WITH p AS (SELECT n, count(*) AS c FROM payments GROUP BY n) SELECT c.id, p.c FROM countries c JOIN p ON p.n = c.id;

WITH a AS (SELECT id FROM users), b AS (SELECT user_id FROM payments) SELECT count(*) FROM a JOIN b ON b.user_id = a.id;

WITH a AS MATERIALIZED (SELECT id, country FROM users) SELECT country, count(*) FROM a GROUP BY country;

WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 10) SELECT sum(n) FROM r;

WITH RECURSIVE r(n) AS (SELECT min(id) FROM users UNION ALL SELECT n + 7 FROM r WHERE n < 20) SELECT n FROM r;

-- ordered
WITH t AS (SELECT id, score FROM users ORDER BY score DESC, id LIMIT 5) SELECT id FROM t ORDER BY id;

WITH c AS (SELECT * FROM countries) SELECT count(*) FROM c, users u WHERE u.country = c.id;

-- ordered
SELECT id, (SELECT count(*) FROM payments p WHERE p.user_id = u.id) FROM users u ORDER BY 1;

SELECT (SELECT max(id) FROM users);

SELECT (SELECT max(id) FROM users), (SELECT count(*) FROM payments);

SELECT * FROM (SELECT id, email FROM users WHERE country > 1) x WHERE x.id > 0;

-- ordered
SELECT x.id FROM (SELECT id FROM users ORDER BY id LIMIT 5) x ORDER BY 1 DESC;

SELECT count(*) FROM (SELECT 1 FROM users LIMIT 7) x;

SELECT c.id, (SELECT count(*) FROM users u WHERE u.country = c.id) FROM countries c;

SELECT x.id FROM (SELECT id, rank() OVER (ORDER BY score, id) AS r FROM users) x WHERE r < 5;

-- ordered
SELECT id, row_number() OVER (ORDER BY id) FROM users ORDER BY id;

-- ordered
SELECT id, count(*) OVER (PARTITION BY country) FROM users ORDER BY id;

-- ordered
SELECT user_id, n, sum(n) OVER (PARTITION BY user_id ORDER BY id) FROM payments ORDER BY id;

-- ordered
SELECT id, lag(id) OVER w FROM users WINDOW w AS (ORDER BY id) ORDER BY id;

SELECT EXISTS (SELECT FROM users WHERE id = 6);

SELECT ARRAY(SELECT id FROM users ORDER BY id LIMIT 3);

SELECT u.id FROM users u WHERE (SELECT count(*) FROM payments p WHERE p.user_id = u.id) > 3;

SELECT 1 WHERE 6 IN (SELECT id FROM users);

SELECT generate_series(1, 3);

SELECT * FROM generate_series(1, 3) g JOIN countries c ON c.id = g;

SELECT * FROM generate_series(6, 20) g JOIN users u ON u.id = g;

