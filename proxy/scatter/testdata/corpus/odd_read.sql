SELECT u.id, p.id FROM users u LEFT JOIN payments p ON p.user_id = u.id AND p.n IS NULL LEFT JOIN payments q ON q.user_id = u.id AND q.n = 1 WHERE q.id IS NULL;

SELECT u.id, p.id FROM payments p RIGHT JOIN users u ON u.id = p.user_id AND u.country = 2;

SELECT u.id, p.user_id FROM users u FULL JOIN payments p ON p.user_id = u.id AND p.n > 5 WHERE u.id IS NULL OR p.id IS NULL;

SELECT coalesce(u.id, p.user_id) AS k, count(*) FROM users u FULL JOIN payments p ON p.user_id = u.id GROUP BY 1;

SELECT count(*) FROM users u FULL JOIN payments p ON p.user_id = u.id FULL JOIN countries c ON c.id = u.country;

SELECT c.id, u.id FROM countries c LEFT JOIN users u ON u.country = c.id AND u.id > 100;

SELECT c.id, count(u.id) FROM countries c LEFT JOIN users u ON u.country = c.id GROUP BY c.id;

SELECT c.id FROM countries c WHERE NOT EXISTS (SELECT 1 FROM users u WHERE u.country = c.id);

SELECT c.id FROM countries c WHERE c.id NOT IN (SELECT country FROM users);

SELECT c.id FROM countries c WHERE c.id NOT IN (SELECT country FROM users WHERE country IS NOT NULL);

SELECT c.id FROM countries c CROSS JOIN LATERAL (SELECT count(*) AS n FROM users u WHERE u.country = c.id) x WHERE x.n > 6;

SELECT u.id, x.m FROM users u LEFT JOIN LATERAL (SELECT max(amount) AS m FROM payments p WHERE p.user_id = u.id HAVING count(*) > 2) x ON true;

SELECT u.id, x.* FROM users u CROSS JOIN LATERAL (VALUES (u.country, 1), (u.country + 1, 2)) x(a, b) WHERE u.id < 10;

SELECT u.id, g FROM users u, generate_series(1, u.country) g WHERE u.id BETWEEN 0 AND 50;

SELECT id, country, row_number() OVER w, rank() OVER w, dense_rank() OVER w, percent_rank() OVER w, cume_dist() OVER w FROM users WINDOW w AS (ORDER BY country NULLS FIRST, id);

SELECT id, lag(email, 2, 'none') OVER (ORDER BY id), lead(email) OVER (ORDER BY id), first_value(email) OVER (ORDER BY id), nth_value(email, 3) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM users;

SELECT id, sum(score) OVER (ORDER BY id ROWS BETWEEN 2 PRECEDING AND CURRENT ROW), avg(score) OVER (PARTITION BY country), ntile(4) OVER (ORDER BY id) FROM users;

SELECT id, count(*) OVER (ORDER BY country RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING), count(*) OVER (ORDER BY country GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW EXCLUDE TIES) FROM users WHERE country IS NOT NULL;

SELECT user_id, id, sum(amount) OVER (PARTITION BY user_id ORDER BY id) FROM payments;

SELECT user_id, sum(sum(amount)) OVER (ORDER BY user_id) FROM payments GROUP BY user_id;

SELECT country, count(*), sum(count(*)) OVER () FROM users GROUP BY country;

SELECT country, code, count(*), grouping(country, code) FROM users GROUP BY GROUPING SETS ((country, code), (country), ());

SELECT country, code, sum(score) FROM users GROUP BY CUBE (country, code) HAVING count(*) > 1;

SELECT country, code, count(*) FROM users GROUP BY country, ROLLUP (code), GROUPING SETS ((), (country));

SELECT user_id, n, count(*) FROM payments GROUP BY ROLLUP (user_id, n) HAVING grouping(user_id) = 1 OR user_id < 0;

SELECT DISTINCT grouping(country) FROM users GROUP BY ROLLUP (country);

SELECT country, count(*) FILTER (WHERE email IS NULL), count(*) FILTER (WHERE score > 20 AND code = 'a'), avg(score) FILTER (WHERE false) FROM users GROUP BY country;

SELECT percentile_cont(0.3) WITHIN GROUP (ORDER BY score), percentile_disc(ARRAY[0.1, 0.9]) WITHIN GROUP (ORDER BY email), mode() WITHIN GROUP (ORDER BY country) FROM users;

SELECT rank(20) WITHIN GROUP (ORDER BY score), dense_rank(3) WITHIN GROUP (ORDER BY country) FROM users;

SELECT country, percentile_cont(0.5) WITHIN GROUP (ORDER BY score) FILTER (WHERE code = 'a') FROM users GROUP BY country;

SELECT round(corr(score, country)::numeric, 9), round(covar_pop(score, country)::numeric, 9), round(regr_slope(score, country)::numeric, 9), regr_count(score, country) > 3 FROM users;

SELECT array_agg(DISTINCT country ORDER BY country DESC NULLS LAST), string_agg(DISTINCT email, '|' ORDER BY email COLLATE "C") FROM users;

SELECT json_object_agg(id, email ORDER BY id) FROM users WHERE email IS NOT NULL;

SELECT jsonb_agg(DISTINCT code), jsonb_object_agg(id, country) FROM users;

SELECT every(score >= 0), bool_or(country IS NULL), bit_and(id), bit_or(id) FROM users;

SELECT count(DISTINCT (country, code)), count((country, code)), count(DISTINCT user_id) FROM users, payments WHERE users.id = payments.user_id;

SELECT sum(DISTINCT country), avg(DISTINCT n) FROM users JOIN payments ON user_id = users.id;

WITH a AS (WITH b AS (SELECT id, country FROM users WHERE country > 2) SELECT * FROM b WHERE id > 50) SELECT a.country, count(*) FROM a GROUP BY a.country;

WITH a AS (SELECT * FROM users), b AS (SELECT * FROM a WHERE country = 1), users AS (SELECT 1 AS id) SELECT (SELECT count(*) FROM b), (SELECT count(*) FROM users), (SELECT count(*) FROM a);

WITH RECURSIVE t(n) AS (SELECT min(id) FROM users UNION ALL SELECT (SELECT min(id) FROM users WHERE id > t.n) FROM t WHERE t.n IS NOT NULL) SELECT count(n), max(n) FROM t;

WITH RECURSIVE c(id, depth) AS (SELECT id, 1 FROM countries WHERE id = 0 UNION SELECT countries.id, depth + 1 FROM c JOIN countries ON countries.id = c.id + 1) SELECT c.depth, count(u.id) FROM c LEFT JOIN users u ON u.country = c.id GROUP BY c.depth;

WITH RECURSIVE x AS (SELECT id, country FROM users WHERE id = 6 UNION ALL SELECT u.id, u.country FROM users u JOIN x ON u.id = x.id + 7 WHERE u.id < 60) SELECT * FROM x;

WITH x AS MATERIALIZED (SELECT * FROM payments), y AS NOT MATERIALIZED (SELECT * FROM users) SELECT y.id, count(x.id) FROM y LEFT JOIN x ON x.user_id = y.id GROUP BY y.id;

(SELECT id FROM users EXCEPT SELECT user_id FROM payments) UNION ALL (SELECT user_id FROM payments EXCEPT SELECT id FROM users);

SELECT id FROM users INTERSECT (SELECT user_id FROM payments WHERE n = 1 UNION SELECT user_id FROM payments WHERE n = 2);

SELECT country FROM users EXCEPT ALL SELECT n FROM payments;

SELECT country FROM users INTERSECT ALL SELECT n FROM payments;

(SELECT id FROM users ORDER BY id LIMIT 3) UNION ALL (SELECT id FROM users ORDER BY id DESC LIMIT 3);

SELECT * FROM (SELECT id FROM users UNION SELECT id FROM payments UNION SELECT id FROM countries) x WHERE id < 20;

SELECT NULL::int AS a UNION SELECT country FROM users UNION SELECT 1;

SELECT 1, 'x' UNION ALL SELECT country, email FROM users WHERE id < 0;

SELECT id, (SELECT count(*) FROM users v WHERE v.country = u.country AND v.id < u.id) FROM users u;

SELECT id FROM users u WHERE score = (SELECT max(score) FROM users v WHERE v.country = u.country);

SELECT id FROM users u WHERE score >= ALL (SELECT score FROM users v WHERE v.country = u.country AND score IS NOT NULL);

SELECT id FROM users u WHERE (country, code) IN (SELECT v.country, v.code FROM users v WHERE v.id <> u.id);

SELECT id FROM users u WHERE EXISTS (SELECT 1 FROM payments p JOIN countries c ON c.id = p.n WHERE p.user_id = u.id AND c.name IS NULL);

SELECT id, ARRAY(SELECT p.id FROM payments p WHERE p.user_id = u.id ORDER BY p.id) FROM users u WHERE id < 30;

SELECT (SELECT email FROM users WHERE id = 6), (SELECT count(*) FROM payments WHERE user_id = 6), (SELECT max(id) FROM users);

SELECT CASE WHEN EXISTS (SELECT 1 FROM users WHERE country = 99) THEN 'y' ELSE 'n' END;

SELECT id FROM users WHERE id = NULL OR id IS NULL;

SELECT user_id IS NULL, count(*) FROM payments GROUP BY 1;

SELECT id FROM users WHERE id IN (6, NULL, 13);

SELECT id FROM users WHERE id NOT IN (6, NULL);

SELECT id FROM users WHERE id = ANY (ARRAY[6, NULL, 13]) OR id = ANY (NULL::bigint[]);

SELECT id FROM users WHERE id IS NOT DISTINCT FROM 6;

SELECT id FROM users WHERE id IS DISTINCT FROM 6 AND id < 20;

SELECT id FROM users WHERE (id = 6) IS TRUE OR (id = 13) IS NOT FALSE AND id < 20;

SELECT id FROM users WHERE NOT (id <> 6);

SELECT id FROM users WHERE id::text = '6' OR id::int = 13 OR id = 20.0 OR id = '27';

SELECT id FROM users WHERE id = 6.5;

SELECT id FROM users WHERE id = 6::numeric;

SELECT id FROM users WHERE id = 6::smallint OR id = 13::int8 OR id = '+20' OR id = ' 27 ';

SELECT id FROM users WHERE id = -50 OR id = - 43 OR id = +6;

SELECT id FROM users WHERE id = 3 + 3;

SELECT id FROM users WHERE id = abs(-6);

SELECT id FROM users WHERE 6 = id AND country IS NOT NULL;

SELECT id FROM users WHERE (id, country) = (6, 1) OR (id, 1) = (13, 1);

SELECT id FROM users WHERE row(id) IN (row(6), row(13));

SELECT id FROM users WHERE id BETWEEN SYMMETRIC 20 AND 6;

SELECT id FROM users WHERE id IN (SELECT 6 UNION SELECT 13);

SELECT id FROM users WHERE id IN (VALUES (6), (13));

SELECT id FROM users WHERE id = (SELECT 6);

SELECT u.id FROM users u JOIN (VALUES (6::bigint), (13)) v(k) ON v.k = u.id;

SELECT u.id, v.x FROM (VALUES (6, 'a'), (13, 'b'), (NULL, 'c')) v(k, x) LEFT JOIN users u ON u.id = v.k;

SELECT u.id, v.x FROM (VALUES (6, 'a'), (13, 'b'), (1, 'c')) v(k, x) RIGHT JOIN users u ON u.id = v.k WHERE u.id < 20;

SELECT 'NaN'::numeric + score FROM users WHERE id = 6;

SELECT max(x), min(x), sum(x), avg(x) FROM (SELECT CASE WHEN country = 1 THEN 'NaN'::float8 WHEN country = 2 THEN 'Infinity'::float8 ELSE score END AS x FROM users) s;

SELECT max(x), min(x), count(DISTINCT x) FROM (SELECT CASE WHEN country = 1 THEN 'NaN'::numeric WHEN country = 2 THEN '-Infinity'::numeric ELSE score END AS x FROM users) s;

SELECT sum(CASE WHEN country = 1 THEN 'Infinity'::numeric WHEN country = 2 THEN '-Infinity'::numeric ELSE 0 END) FROM users;

SELECT avg(CASE WHEN country = 1 THEN 'Infinity'::numeric ELSE 0 END), stddev(CASE WHEN country = 1 THEN 'NaN'::numeric ELSE score END) FROM users;

SELECT x, count(*) FROM (SELECT CASE WHEN country = 1 THEN '-0'::float8 ELSE 0 END AS x FROM users) s GROUP BY x;

SELECT DISTINCT CASE WHEN id % 2 = 0 THEN 1.0 ELSE 1.00 END = 1 FROM users;

SELECT CASE WHEN country = 1 THEN 'infinity'::timestamptz WHEN country = 2 THEN '-infinity' ELSE '2020-01-01 00:00+00'::timestamptz + country * interval '1 month' END AS t, count(*) FROM users GROUP BY 1 ORDER BY 1;

-- ordered
SELECT interval '1 month' * country AS i, id FROM users ORDER BY i DESC NULLS LAST, id;

-- ordered
SELECT CASE WHEN country = 1 THEN interval '30 days' ELSE interval '1 month' END AS i, count(*) FROM users GROUP BY 1 ORDER BY 1;

-- ordered
SELECT id, email::char(8) AS c FROM users ORDER BY email::char(8), id;

-- ordered
SELECT DISTINCT (email || '  ')::char(6) FROM users ORDER BY 1;

SELECT min(email::char(8)), max(code::varchar(1)), min(email::name) FROM users;

-- ordered
SELECT email FROM users ORDER BY email COLLATE "POSIX" DESC NULLS FIRST, id;

-- ordered
SELECT id, upper(email) FROM users ORDER BY upper(email) USING >, id;

-- ordered
SELECT id FROM users ORDER BY country IS NULL, -country, id DESC LIMIT 7 OFFSET 2;

-- ordered
SELECT id, '{"a":1}'::jsonb || jsonb_build_object('c', country) AS j FROM users ORDER BY j, id;

-- ordered
SELECT ARRAY[country, NULL, 1] AS a, id FROM users ORDER BY a, id;

-- ordered
SELECT ROW(country, email) AS r, id FROM users ORDER BY r, id;

-- ordered
SELECT int4range(country, country + 3) AS r, id FROM users ORDER BY r DESC, id;

-- ordered
SELECT ('10.0.0.' || coalesce(country, 9))::inet AS r, id FROM users ORDER BY r DESC, id;

-- ordered
SELECT md5(id::text)::uuid AS r FROM users ORDER BY r;

-- ordered
SELECT decode(md5(id::text), 'hex') AS r FROM users ORDER BY r;

-- ordered
SELECT id::bit(12) AS r FROM users WHERE id > 0 ORDER BY r;

-- ordered
SELECT (score::money) AS r, id FROM users ORDER BY r, id;

-- ordered
SELECT ('08:00'::time + country * interval '1 hour') AS t, ('08:00+02'::timetz + country * interval '1 hour') AS z, id FROM users ORDER BY z, id;

-- ordered
SELECT point(country, id) <-> point(0, 0) AS d FROM users WHERE country IS NOT NULL ORDER BY point(country, id) <-> point(0, 0), id;

SELECT max(ARRAY[country, id]), min(ARRAY[country, id]) FROM users;

SELECT max(('10.0.0.' || country)::inet), min(interval '1 day' * country), max(('2020-01-01'::date + country)) FROM users;

SELECT sum(interval '1 day' * country), avg(interval '1 day' * country), sum(score::money) FROM users;

SELECT range_agg(int4range(country, country + 1)) FROM users;

SELECT xmlagg(xmlelement(name x, id) ORDER BY id) IS NOT NULL FROM users;

SELECT country, (array_agg(id ORDER BY score DESC, id))[1:2] FROM users GROUP BY country;

SELECT max(id) - min(id) + count(*) * 2 AS x, CASE WHEN count(*) > 3 THEN 'many' END FROM users HAVING max(id) > 0;

SELECT 1 FROM users HAVING count(*) > 1000;

SELECT count(*) FROM users HAVING false;

SELECT 'x' FROM users GROUP BY ();

SELECT count(*), 5 AS five FROM users WHERE false;

SELECT country, count(*) FROM users WHERE false GROUP BY country;

SELECT country + 1 AS c, count(*) FROM users GROUP BY c HAVING min(id) > -40;

SELECT country AS id, count(*) FROM users GROUP BY country ORDER BY id;

SELECT id AS country, count(*) FROM users GROUP BY country, id HAVING id < 20;

SELECT lower(email) AS email, count(*) FROM users GROUP BY lower(email);

SELECT DISTINCT ON (country) country, email, id FROM users ORDER BY country DESC NULLS LAST, email COLLATE "C" DESC NULLS FIRST, id;

SELECT DISTINCT ON (country, code) id FROM users ORDER BY country, code, score DESC, id;

-- ordered
SELECT DISTINCT ON (lower(email)) lower(email), id FROM users ORDER BY lower(email), id DESC LIMIT 3;

-- ordered
SELECT DISTINCT country, code FROM users ORDER BY code DESC, country NULLS FIRST OFFSET 2 LIMIT 5;

-- ordered
SELECT country FROM users ORDER BY country FETCH FIRST 5 ROWS WITH TIES;

-- ordered
SELECT id FROM users ORDER BY id OFFSET 3 ROWS FETCH NEXT (1 + 1) ROWS ONLY;

-- ordered
SELECT id FROM users ORDER BY id LIMIT NULL OFFSET NULL;

SELECT id FROM users ORDER BY id LIMIT -1;

SELECT id FROM users ORDER BY id OFFSET -1;

SELECT u.*, p.* FROM users u NATURAL JOIN (SELECT user_id AS id, amount FROM payments) p;

SELECT * FROM users JOIN payments USING (id) WHERE users.id < 50;

SELECT * FROM (users u JOIN payments p ON p.user_id = u.id) WHERE u.id = 6;

SELECT a.id, b.id FROM users a JOIN users b ON a.id = b.id + 7 WHERE a.country = b.country;

SELECT a.id FROM users a, users b WHERE a.id = b.id AND a.email < b.email;

SELECT a.country, count(*) FROM users a JOIN users b USING (country) GROUP BY a.country;

SELECT count(*) FROM users a, users b, countries c WHERE a.country = c.id AND b.country = c.id;

SELECT u.id FROM users u JOIN payments p ON p.user_id = u.id AND u.id = 6 JOIN countries c ON c.id = u.country OR c.id = p.n;

SELECT t.* FROM users t TABLESAMPLE BERNOULLI (100);

SELECT count(*) FROM ONLY users;

SELECT count(*) FROM users AS u (a, b, c) WHERE b IS NULL AND a > 0;

SELECT a, c FROM users AS u (a, b, c) WHERE a = 6;

SELECT (u).email, (u.*)::text IS NOT NULL FROM users u WHERE id = 6;

SELECT u FROM users u WHERE id IN (6, 13);

SELECT row_to_json(u) FROM users u WHERE id < 0;

SELECT to_jsonb(u) ->> 'email' AS e, count(*) FROM users u GROUP BY 1;

SELECT id FROM users u WHERE u = (SELECT v FROM users v WHERE v.id = 6);

SELECT count(u), count(u.*) FROM users u;

SELECT id, unnest(ARRAY[1, 2]) FROM users WHERE id < 0;

SELECT id, generate_series(1, 2), unnest(ARRAY['a', 'b', 'c']) FROM users WHERE id = 6;

SELECT DISTINCT unnest(ARRAY[country, 1]) FROM users;

SELECT unnest(array_agg(id ORDER BY id)) FROM users WHERE id < 0;

SELECT * FROM unnest(ARRAY[6, 13]) WITH ORDINALITY AS k(id, o) JOIN users USING (id);

SELECT * FROM ROWS FROM (generate_series(1, 3), generate_series(5, 6)) AS x(a, b);

SELECT * FROM json_to_recordset('[{"id":6},{"id":13}]') AS j(id bigint) JOIN users u ON u.id = j.id;

SELECT id FROM users WHERE email LIKE '%o%' AND email !~ '^B' OR email SIMILAR TO '(a|z)%';

SELECT id FROM users WHERE email ILIKE ANY (ARRAY['bob', 'ANN']);

SELECT id FROM users WHERE (email IS NULL) = (country IS NULL);

SELECT count(*) FROM users WHERE email > 'a' AND email < 'c';

SELECT min(email), max(email), min(email COLLATE "C"), max(email COLLATE "C") FROM users;

SELECT email COLLATE "C" AS e, count(*) FROM users GROUP BY e;

SELECT extract(epoch FROM sum(interval '1 s' * id)) FROM users;

SELECT sum(id)::text || '!', avg(id)::int, round(avg(score), 3), trunc(stddev_samp(score), 4) FROM users;

SELECT var_samp(id), variance(score), stddev_pop(f), var_pop(n) FROM users JOIN payments ON user_id = users.id;

SELECT sum(f), avg(f), max(f) FROM payments;

SELECT sum(n::smallint), sum(n::bigint), sum(n::real), avg(n::real) FROM payments WHERE n < 3;

SELECT sum(9223372036854775807) FROM users WHERE id < 0;

SELECT sum(amount * 1e50), avg(amount * 1e-50) FROM payments;

SELECT current_setting('server_version_num') = current_setting('server_version_num'), count(*) FROM users;

SELECT pg_typeof(sum(country)), pg_typeof(avg(score)), pg_typeof(count(*)) FROM users;

SELECT count(*) FROM users WHERE now() > '2000-01-01' AND current_date > '2000-01-01';

TABLE users;

TABLE countries ORDER BY id;

VALUES (1, 'a'), (2, NULL) ORDER BY 1 DESC;

SELECT FROM users WHERE id < 0;

SELECT count(*) FROM (SELECT FROM users) x;

SELECT EXISTS (SELECT FROM users WHERE id = 6), EXISTS (SELECT FROM users WHERE country = 77);

SELECT id FROM users WHERE id = 6 FOR UPDATE;

SELECT id FROM users WHERE country = 1 FOR SHARE SKIP LOCKED;

SELECT u.id FROM users u JOIN payments p ON p.user_id = u.id WHERE p.n = 2 FOR UPDATE OF u;

-- ordered
SELECT id FROM users WHERE country = 1 ORDER BY id LIMIT 2 FOR NO KEY UPDATE NOWAIT;
