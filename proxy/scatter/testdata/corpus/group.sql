-- ordered
SELECT country, count(*) FROM users GROUP BY country ORDER BY 1;

-- ordered
SELECT country, sum(score) AS s FROM users GROUP BY 1 HAVING count(*) > 1 ORDER BY 1;

-- ordered
SELECT country, avg(country) FROM users GROUP BY country ORDER BY 1 LIMIT 4 OFFSET 1;

SELECT country FROM users GROUP BY country;

-- ordered
SELECT count(*), country FROM users GROUP BY country HAVING max(score) > 20 OR min(id) < 0 ORDER BY count(*) DESC, 2;

-- ordered
SELECT country + 1, count(*) FROM users GROUP BY country + 1 ORDER BY 1;

-- ordered
SELECT country + 1, sum(score) AS s FROM users GROUP BY 1 HAVING count(*) > 1 ORDER BY 1;

-- ordered
SELECT country + 1, avg(country) FROM users GROUP BY country + 1 ORDER BY 1 LIMIT 4 OFFSET 1;

SELECT country + 1 FROM users GROUP BY country + 1;

-- ordered
SELECT count(*), country + 1 FROM users GROUP BY country + 1 HAVING max(score) > 20 OR min(id) < 0 ORDER BY count(*) DESC, 2;

-- ordered
SELECT lower(email), count(*) FROM users GROUP BY lower(email) ORDER BY 1;

-- ordered
SELECT lower(email), sum(score) AS s FROM users GROUP BY 1 HAVING count(*) > 1 ORDER BY 1;

-- ordered
SELECT lower(email), avg(country) FROM users GROUP BY lower(email) ORDER BY 1 LIMIT 4 OFFSET 1;

SELECT lower(email) FROM users GROUP BY lower(email);

-- ordered
SELECT count(*), lower(email) FROM users GROUP BY lower(email) HAVING max(score) > 20 OR min(id) < 0 ORDER BY count(*) DESC, 2;

-- ordered
SELECT code, count(*) FROM users GROUP BY code ORDER BY 1;

-- ordered
SELECT code, sum(score) AS s FROM users GROUP BY 1 HAVING count(*) > 1 ORDER BY 1;

-- ordered
SELECT code, avg(country) FROM users GROUP BY code ORDER BY 1 LIMIT 4 OFFSET 1;

SELECT code FROM users GROUP BY code;

-- ordered
SELECT count(*), code FROM users GROUP BY code HAVING max(score) > 20 OR min(id) < 0 ORDER BY count(*) DESC, 2;

-- ordered
SELECT country, code, count(*) FROM users GROUP BY country, code ORDER BY 1, 2;

-- ordered
SELECT country, code, sum(score) AS s FROM users GROUP BY 1, 2 HAVING count(*) > 1 ORDER BY 1, 2;

-- ordered
SELECT country, code, avg(country) FROM users GROUP BY country, code ORDER BY 1, 2 LIMIT 4 OFFSET 1;

SELECT country, code FROM users GROUP BY country, code;

-- ordered
SELECT count(*), country, code FROM users GROUP BY country, code HAVING max(score) > 20 OR min(id) < 0 ORDER BY count(*) DESC, 2, 3;

-- ordered
SELECT id % 5, count(*) FROM users GROUP BY id % 5 ORDER BY 1;

-- ordered
SELECT id % 5, sum(score) AS s FROM users GROUP BY 1 HAVING count(*) > 1 ORDER BY 1;

-- ordered
SELECT id % 5, avg(country) FROM users GROUP BY id % 5 ORDER BY 1 LIMIT 4 OFFSET 1;

SELECT id % 5 FROM users GROUP BY id % 5;

-- ordered
SELECT count(*), id % 5 FROM users GROUP BY id % 5 HAVING max(score) > 20 OR min(id) < 0 ORDER BY count(*) DESC, 2;

-- ordered
SELECT email, count(*) FROM users GROUP BY email ORDER BY 1;

-- ordered
SELECT email, sum(score) AS s FROM users GROUP BY 1 HAVING count(*) > 1 ORDER BY 1;

-- ordered
SELECT email, avg(country) FROM users GROUP BY email ORDER BY 1 LIMIT 4 OFFSET 1;

SELECT email FROM users GROUP BY email;

-- ordered
SELECT count(*), email FROM users GROUP BY email HAVING max(score) > 20 OR min(id) < 0 ORDER BY count(*) DESC, 2;

-- ordered
SELECT CASE WHEN country > 2 THEN 'big' END, count(*) FROM users GROUP BY CASE WHEN country > 2 THEN 'big' END ORDER BY 1;

-- ordered
SELECT CASE WHEN country > 2 THEN 'big' END, sum(score) AS s FROM users GROUP BY 1 HAVING count(*) > 1 ORDER BY 1;

-- ordered
SELECT CASE WHEN country > 2 THEN 'big' END, avg(country) FROM users GROUP BY CASE WHEN country > 2 THEN 'big' END ORDER BY 1 LIMIT 4 OFFSET 1;

SELECT CASE WHEN country > 2 THEN 'big' END FROM users GROUP BY CASE WHEN country > 2 THEN 'big' END;

-- ordered
SELECT count(*), CASE WHEN country > 2 THEN 'big' END FROM users GROUP BY CASE WHEN country > 2 THEN 'big' END HAVING max(score) > 20 OR min(id) < 0 ORDER BY count(*) DESC, 2;

-- ordered
SELECT id, count(*) FROM users GROUP BY id ORDER BY 1;

-- ordered
SELECT id, sum(score) AS s FROM users GROUP BY 1 HAVING count(*) > 1 ORDER BY 1;

-- ordered
SELECT id, avg(country) FROM users GROUP BY id ORDER BY 1 LIMIT 4 OFFSET 1;

SELECT id FROM users GROUP BY id;

-- ordered
SELECT count(*), id FROM users GROUP BY id HAVING max(score) > 20 OR min(id) < 0 ORDER BY count(*) DESC, 2;

-- ordered
SELECT score > 25, country, count(*) FROM users GROUP BY score > 25, country ORDER BY 1, 2;

-- ordered
SELECT score > 25, country, sum(score) AS s FROM users GROUP BY 1, 2 HAVING count(*) > 1 ORDER BY 1, 2;

-- ordered
SELECT score > 25, country, avg(country) FROM users GROUP BY score > 25, country ORDER BY 1, 2 LIMIT 4 OFFSET 1;

SELECT score > 25, country FROM users GROUP BY score > 25, country;

-- ordered
SELECT count(*), score > 25, country FROM users GROUP BY score > 25, country HAVING max(score) > 20 OR min(id) < 0 ORDER BY count(*) DESC, 2, 3;

-- ordered
SELECT country, count(*) FROM users GROUP BY ROLLUP (country) ORDER BY 1 NULLS LAST, 2;

-- ordered
SELECT country, code, count(*) FROM users GROUP BY CUBE (country, code) ORDER BY 1, 2, 3;

-- ordered
SELECT country, count(*) FROM users GROUP BY GROUPING SETS ((country), ()) ORDER BY 1, 2;

SELECT 1 FROM users HAVING count(*) > 3;

SELECT count(*) FROM users HAVING sum(score) > 1e9;

-- ordered
SELECT c.name, sum(p.amount) FROM payments p JOIN users u ON u.id = p.user_id JOIN countries c ON c.id = u.country GROUP BY c.name ORDER BY 1, 2;

SELECT country FROM users GROUP BY code;

SELECT sum(email) FROM users;

-- ordered
SELECT x.c, sum(x.n) FROM (SELECT country AS c, count(*) AS n FROM users GROUP BY country, code) x GROUP BY x.c ORDER BY 1;

-- ordered
SELECT user_id, max(n) FROM payments GROUP BY user_id HAVING count(*) > 2 ORDER BY max(n) DESC NULLS LAST, user_id;

SELECT DISTINCT count(*) FROM users GROUP BY country;

-- ordered
SELECT u.id, count(p.id) FROM users u LEFT JOIN payments p ON p.user_id = u.id GROUP BY u.id ORDER BY 2 DESC, 1 LIMIT 7;

SELECT sum(x) FROM (SELECT sum(score) AS x FROM users GROUP BY id) y;

SELECT COLLATION FOR (max(email)) FROM users;

SELECT COLLATION FOR (max(code)), count(*) FROM users;

SELECT country, COLLATION FOR (max(code)) FROM users GROUP BY country;

SELECT COLLATION FOR (code) FROM users WHERE id < 3;

SELECT pg_collation_for(max(code)) FROM users;

SELECT COLLATION FOR (max(code) COLLATE "POSIX") AS c FROM users;

SELECT COLLATION FOR (max(email) || 'x') FROM users ORDER BY 1;

SELECT max(email) FROM users HAVING COLLATION FOR (min(code)) IS NOT NULL;

SELECT pg_typeof(max(id)) FROM users;

