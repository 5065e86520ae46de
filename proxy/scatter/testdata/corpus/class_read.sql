-- ordered
TABLE users ORDER BY id;

-- ordered
TABLE users ORDER BY email DESC NULLS LAST, id LIMIT 5;

-- ordered
TABLE payments ORDER BY 3, 1 OFFSET 3 LIMIT 4;

TABLE users;

SELECT * FROM (TABLE users) u WHERE country = 2;

-- ordered
WITH p AS (TABLE payments) SELECT p.id FROM p ORDER BY id;

-- ordered
TABLE users UNION TABLE users ORDER BY 1;

-- ordered
SELECT id, email FROM users ORDER BY email COLLATE "und-x-icu", id;

-- ordered
SELECT id, email FROM users ORDER BY lower(email) COLLATE "und-x-icu" DESC NULLS LAST, id FETCH FIRST 7 ROWS ONLY;

-- ordered
SELECT id FROM users ORDER BY email || code, id;

-- ordered
SELECT email COLLATE "und-x-icu" AS e, count(*) FROM users GROUP BY 1 ORDER BY 1;

-- ordered
SELECT DISTINCT email COLLATE "und-x-icu" AS e FROM users ORDER BY e DESC;

-- ordered
SELECT DISTINCT ON (email) email, id FROM users ORDER BY email, id DESC;

-- ordered
SELECT DISTINCT ON (email COLLATE "und-x-icu") email, id FROM users ORDER BY email COLLATE "und-x-icu", id DESC;

SELECT id, email FROM users ORDER BY email FETCH FIRST 3 ROWS WITH TIES;

-- ordered
SELECT id FROM users ORDER BY country IS NULL, score / 3, id;

-- ordered
SELECT id FROM users ORDER BY CASE WHEN country = 2 THEN 'a' ELSE email END, id;

-- ordered
SELECT id FROM users ORDER BY id USING >;

-- ordered
SELECT id FROM users ORDER BY email USING <, id USING >;

-- ordered
SELECT id, amount FROM payments ORDER BY f + n DESC NULLS FIRST, id LIMIT 9 OFFSET 2;

-- ordered
SELECT id FROM payments ORDER BY (amount, id);

-- ordered
SELECT id FROM users ORDER BY ROW(country, id);

-- ordered
SELECT u.id FROM users u ORDER BY u;

-- ordered
SELECT id FROM users ORDER BY ARRAY[country, id::int];

-- ordered
SELECT id FROM users ORDER BY ARRAY[email, code], id;

-- ordered
SELECT id FROM users ORDER BY (SELECT name FROM countries c WHERE c.id = country), id;

-- ordered
SELECT id FROM users ORDER BY (SELECT sum(amount) FROM payments p WHERE p.user_id = users.id), id;

-- ordered
SELECT id, (SELECT max(name) FROM countries c WHERE c.id = country) AS cn FROM users ORDER BY cn, id;

-- ordered
SELECT to_jsonb(u) FROM users u ORDER BY to_jsonb(u);

-- ordered
SELECT to_json(u) FROM users u ORDER BY u.id;

-- ordered
SELECT id, row_to_json(u) FROM users u ORDER BY id;

-- ordered
SELECT id FROM users ORDER BY make_interval(days => country), id;

-- ordered
SELECT id FROM users ORDER BY point(id, 1) <-> point(20, 3), id;

-- ordered
SELECT id, score FROM users ORDER BY score::text, id;

-- ordered
SELECT id FROM users ORDER BY md5(email), id LIMIT (SELECT 3);

-- ordered
SELECT id FROM users ORDER BY id LIMIT 2 + 3 OFFSET 1 + 1;

-- ordered
SELECT id FROM users ORDER BY id LIMIT (SELECT count(*) FROM countries);

-- ordered
SELECT id FROM users ORDER BY id LIMIT (SELECT count(*) / 20 FROM payments);

-- ordered
SELECT id FROM users ORDER BY id FETCH NEXT ROW ONLY;

-- ordered
SELECT id FROM users ORDER BY id OFFSET 57 ROWS;

SELECT count(*) FROM (SELECT id FROM users LIMIT 7) x;

SELECT count(*) FROM (SELECT id FROM users OFFSET 50) x;

-- ordered
SELECT id FROM users ORDER BY random() * 0, id;

SELECT DISTINCT country, count(*) OVER (PARTITION BY country) FROM users;

SELECT DISTINCT u FROM users u WHERE country = 1;

SELECT DISTINCT score > 20, country FROM users;

SELECT count(*) FROM (SELECT DISTINCT country, email FROM users) x;

-- ordered
SELECT DISTINCT ON (country, code) country, code, id FROM users ORDER BY country, code, score DESC, id;

-- ordered
SELECT DISTINCT ON (1) country, id FROM users ORDER BY 1, id;

-- ordered
SELECT DISTINCT ON (lower(email)) lower(email), id FROM users ORDER BY lower(email), id;

-- ordered
SELECT DISTINCT ON (id % 3) id % 3 AS r, id FROM users ORDER BY id % 3, id DESC;

-- ordered
SELECT DISTINCT ON (code, country) id FROM users ORDER BY country, code, id;

-- ordered
SELECT * FROM (SELECT DISTINCT ON (country) country, id FROM users ORDER BY country, id) x ORDER BY id;

SELECT count(DISTINCT email), count(DISTINCT country), count(*) FROM users;

-- ordered
SELECT country, count(DISTINCT email), sum(DISTINCT score), avg(DISTINCT score) FROM users GROUP BY country ORDER BY 1;

SELECT count(DISTINCT (country, code)) FROM users;

SELECT count(DISTINCT u.email) FROM users u JOIN payments p ON p.user_id = u.id WHERE p.n > 2;

SELECT sum(DISTINCT country), array_agg(DISTINCT country ORDER BY country), string_agg(DISTINCT code, ',') FROM users;

-- ordered
SELECT code, string_agg(DISTINCT email, '|' ORDER BY email) FROM users GROUP BY code ORDER BY code;

-- ordered
SELECT code, json_agg(email ORDER BY id), jsonb_agg(score ORDER BY id) FROM users GROUP BY code ORDER BY code;

SELECT json_object_agg(id, email ORDER BY id) FROM users;

SELECT jsonb_object_agg(id, email) FROM users;

SELECT json_agg(u ORDER BY u.id) FROM users u WHERE country = 2;

SELECT json_agg(row_to_json(u) ORDER BY u.id) FROM users u;

SELECT json_agg(json_build_object('id', id, 'e', email) ORDER BY id DESC) FROM users WHERE score > 20;

SELECT string_agg(email, ', ' ORDER BY email COLLATE "C" DESC, id) FROM users;

SELECT string_agg(email, code ORDER BY id) FROM users;

SELECT string_agg(email::bytea, '\x00'::bytea ORDER BY id) FROM users;

SELECT string_agg(id::text, ',' ORDER BY email NULLS FIRST, id) FILTER (WHERE country > 1) FROM users;

SELECT array_agg(amount ORDER BY id), array_agg(DISTINCT n) FROM payments;

SELECT array_agg(ARRAY[n, id] ORDER BY id) FROM payments WHERE n > 4;

SELECT stddev(amount), stddev_pop(amount), variance(amount), var_pop(amount), var_samp(n), stddev_samp(n) FROM payments;

SELECT round(stddev(f)::numeric, 10), round(stddev_pop(f)::numeric, 10), round(variance(f)::numeric, 10), round(var_pop(f)::numeric, 10) FROM payments;

SELECT round(stddev(f::real)::numeric, 10), avg(f::real), sum(f::real), var_pop(id), stddev(id::smallint) FROM payments;

-- ordered
SELECT n, stddev(amount), variance(amount), round(stddev(f)::numeric, 9), count(*) FROM payments GROUP BY n ORDER BY n;

-- ordered
SELECT n, avg(f), sum(f), min(f), max(f) FROM payments GROUP BY n ORDER BY n;

SELECT stddev(score) / nullif(avg(score), 0), variance(DISTINCT score) FROM users;

SELECT stddev(NULLIF(amount, 'NaN')), stddev(amount * 1e30) FROM payments;

SELECT round(corr(f, n)::numeric, 9), round(covar_pop(f, n)::numeric, 9), round(regr_slope(f, n)::numeric, 9) FROM payments;

SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY score), mode() WITHIN GROUP (ORDER BY country) FROM users;

SELECT percentile_cont(ARRAY[0.1, 0.9]) WITHIN GROUP (ORDER BY f) FROM payments;

SELECT rank(5) WITHIN GROUP (ORDER BY n) FROM payments;

SELECT bool_and(country > 0), bool_or(country > 5), every(id > -100), bit_and(n), bit_or(n), bit_xor(n) FROM (SELECT country, u.id, n FROM users u JOIN payments p ON p.user_id = u.id) x;

SELECT bit_and(n::bit(8)), bit_or(n::bit(8)) FROM payments;

SELECT min(email), max(email), min(email COLLATE "C"), max(email COLLATE "und-x-icu") FROM users;

SELECT min(ARRAY[n]), max(ROW(n, id)::text) FROM payments;

SELECT min(id), max(DISTINCT email), sum(score) FILTER (WHERE country = 2), count(*) FILTER (WHERE false) FROM users;

SELECT range_agg(int4range(country, country + 2)) FROM users;

SELECT xmlagg(xmlelement(name e, id) ORDER BY id)::text FROM users WHERE country = 2;

SELECT sum(amount) * 2 + count(*) - max(n), 'x' || count(*) FROM payments;

SELECT round(avg(amount), 3), coalesce(sum(n) FILTER (WHERE n > 100), -1), greatest(max(n), count(*)) FROM payments;

SELECT CASE WHEN count(*) > 10 THEN 'many' ELSE 'few' END, sum(n) BETWEEN 1 AND 9999 FROM payments;

SELECT sum(amount)::text, sum(amount)::numeric(20, 1), (avg(n))::int FROM payments;

SELECT ARRAY[min(n), max(n)], ROW(count(*), sum(n)), json_build_object('c', count(*)) FROM payments;

SELECT count(*) = (SELECT count(*) FROM payments) FROM payments;

SELECT sum(n) > ALL (SELECT country FROM users WHERE country IS NOT NULL) FROM payments;

-- ordered
SELECT n, sum(amount) FROM payments GROUP BY n HAVING sum(amount) > (SELECT avg(amount) FROM payments) ORDER BY n;

-- ordered
SELECT n % 2, count(*) FROM payments GROUP BY n % 2 HAVING count(*) > 1 ORDER BY n % 2;

-- ordered
SELECT n + 1 AS k, count(*), (n + 1) * 2 FROM payments GROUP BY n + 1 ORDER BY k;

-- ordered
SELECT CASE WHEN n > 3 THEN 'hi' WHEN n IS NULL THEN 'none' ELSE 'lo' END AS b, sum(amount) FROM payments GROUP BY b ORDER BY b;

-- ordered
SELECT n, note, count(*) FROM payments GROUP BY n, note HAVING count(*) > 1 AND max(id) > 20 ORDER BY count(*) DESC, n, note;

-- ordered
SELECT n, count(*) FROM payments GROUP BY ROLLUP (n) ORDER BY n, 2;

-- ordered
SELECT n, note, count(*), grouping(n, note) FROM payments GROUP BY ROLLUP (n, note) ORDER BY n, note, 4, 3;

-- ordered
SELECT n, note, sum(amount) FROM payments GROUP BY CUBE (n, note) ORDER BY grouping(n), grouping(note), n, note;

-- ordered
SELECT n, note, sum(amount) FROM payments GROUP BY GROUPING SETS ((n), (note), ()) ORDER BY 1, 2, 3;

-- ordered
SELECT u.country, p.n, count(*) FROM users u JOIN payments p ON p.user_id = u.id GROUP BY ROLLUP (u.country, p.n) ORDER BY 1, 2, 3;

-- ordered
SELECT DISTINCT n, count(*) FROM payments GROUP BY n, note ORDER BY 1, 2;

-- ordered
SELECT count(*) FROM payments GROUP BY n ORDER BY count(*), n LIMIT 3 OFFSET 1;

SELECT count(*) FROM (SELECT n FROM payments GROUP BY n) x;

SELECT max(c), min(c) FROM (SELECT user_id, count(*) AS c FROM payments GROUP BY user_id) x;

-- ordered
SELECT user_id, count(*), sum(amount) OVER (ORDER BY user_id) FROM payments GROUP BY user_id, amount ORDER BY user_id, 2, 3;

SELECT u.id, count(*) OVER (), rank() OVER (ORDER BY u.score, u.id) FROM users u;

-- ordered
SELECT id, lag(id) OVER (ORDER BY id), sum(score) OVER (PARTITION BY country ORDER BY id) FROM users ORDER BY id;

SELECT user_id, row_number() OVER (PARTITION BY user_id ORDER BY id) FROM payments;

-- ordered
SELECT country, count(*), rank() OVER (ORDER BY count(*) DESC, country) FROM users GROUP BY country ORDER BY 3;

-- ordered
SELECT country, sum(count(*)) OVER (ORDER BY country) FROM users GROUP BY country ORDER BY country;

SELECT ntile(4) OVER w, first_value(id) OVER w FROM users WINDOW w AS (ORDER BY id);

SELECT x.id FROM (SELECT id, row_number() OVER (PARTITION BY country ORDER BY id) AS r FROM users) x WHERE r = 1;

-- ordered
SELECT id FROM users UNION SELECT id FROM payments UNION ALL SELECT id FROM countries ORDER BY 1;

-- ordered
(SELECT id FROM users ORDER BY id LIMIT 3) UNION ALL (SELECT id FROM payments ORDER BY id DESC LIMIT 3) ORDER BY 1;

-- ordered
SELECT email FROM users EXCEPT SELECT note FROM payments ORDER BY 1;

-- ordered
SELECT email FROM users EXCEPT ALL SELECT note FROM payments ORDER BY 1;

-- ordered
SELECT email FROM users INTERSECT SELECT note FROM payments ORDER BY 1;

-- ordered
SELECT country FROM users INTERSECT ALL SELECT n FROM payments ORDER BY 1;

SELECT country FROM users UNION ALL SELECT n FROM payments;

SELECT count(*) FROM (SELECT id FROM users UNION SELECT user_id FROM payments) x;

-- ordered
SELECT x.v, count(*) FROM (SELECT email AS v FROM users UNION ALL SELECT note FROM payments) x GROUP BY x.v ORDER BY 1;

-- ordered
SELECT id, 'u' AS t FROM users UNION ALL SELECT id, 'p' FROM payments ORDER BY t, id LIMIT 10;

-- ordered
SELECT id FROM users WHERE id IN (SELECT user_id FROM payments INTERSECT SELECT id FROM users) ORDER BY 1;

SELECT 1 UNION SELECT 2 UNION SELECT country FROM users;

(SELECT id FROM users) EXCEPT (SELECT user_id FROM payments) EXCEPT SELECT 6;

VALUES (1), (2) UNION SELECT country FROM users;

SELECT * FROM users WHERE id = ANY (SELECT user_id FROM payments WHERE n > 3);

SELECT * FROM users WHERE country = ANY (SELECT n FROM payments);

SELECT * FROM users WHERE id NOT IN (SELECT user_id FROM payments);

SELECT * FROM users WHERE (id, country) IN (SELECT user_id, n FROM payments);

SELECT * FROM users u WHERE EXISTS (SELECT FROM payments p WHERE p.user_id = u.id AND p.amount > u.score);

SELECT * FROM users u WHERE EXISTS (SELECT FROM payments p WHERE p.note = u.email);

SELECT * FROM users u WHERE NOT EXISTS (SELECT FROM payments p WHERE p.note = u.email AND p.n = u.country);

SELECT * FROM users WHERE score > ALL (SELECT amount FROM payments WHERE n = 1);

SELECT * FROM users WHERE country IN (SELECT id FROM countries WHERE name LIKE '%a%');

SELECT * FROM countries WHERE id IN (SELECT country FROM users);

SELECT * FROM countries c WHERE EXISTS (SELECT FROM users u WHERE u.country = c.id AND u.score > 20);

SELECT * FROM countries c WHERE NOT EXISTS (SELECT FROM users u WHERE u.country = c.id);

SELECT c.name, u.id FROM countries c LEFT JOIN users u ON u.country = c.id;

SELECT c.name, u.id FROM users u RIGHT JOIN countries c ON u.country = c.id AND u.score > 30;

SELECT c.name, u.id FROM countries c FULL JOIN users u ON u.country = c.id;

SELECT a.id, b.id FROM users a JOIN users b ON a.country = b.id;

SELECT a.id, b.id FROM users a CROSS JOIN countries b WHERE a.country < b.id;

SELECT a.id, b.id FROM users a, users b WHERE a.country = b.country AND a.id < b.id;

SELECT u.id, p.id, c.id FROM users u LEFT JOIN payments p ON p.user_id = u.id LEFT JOIN countries c ON c.id = p.n;

SELECT u.id, x.s FROM users u CROSS JOIN LATERAL (SELECT sum(amount) AS s FROM payments p WHERE p.user_id = u.id) x;

SELECT u.id, x.s FROM users u LEFT JOIN LATERAL (SELECT sum(amount) AS s FROM payments p WHERE p.n = u.country) x ON true;

SELECT * FROM users NATURAL JOIN countries;

SELECT * FROM users u JOIN payments p USING (id);

SELECT u.*, p.amount FROM users u JOIN payments p ON p.user_id = u.id AND p.note = u.email;

SELECT count(*) FROM users u JOIN payments p ON p.user_id = u.id JOIN users v ON v.id = p.user_id;

SELECT count(*), sum(p.amount) FROM users u LEFT JOIN payments p ON p.user_id = u.id WHERE p.id IS NULL;

-- ordered
WITH a AS (SELECT * FROM users), b AS (SELECT * FROM payments) SELECT a.id, b.n FROM a JOIN b ON b.user_id = a.id ORDER BY 1, 2;

-- ordered
WITH t AS (SELECT user_id, sum(amount) s FROM payments GROUP BY user_id) SELECT u.country, sum(t.s) FROM users u JOIN t ON t.user_id = u.id GROUP BY 1 ORDER BY 1;

WITH c AS (SELECT * FROM countries WHERE id > 1) SELECT u.id, c.name FROM users u JOIN c ON c.id = u.country;

WITH c AS (SELECT max(id) m FROM countries) SELECT id FROM users, c WHERE country = m;

WITH m AS MATERIALIZED (SELECT country, avg(score) a FROM users GROUP BY country) SELECT u.id FROM users u JOIN m USING (country) WHERE u.score > m.a;

WITH one AS (SELECT id, country FROM users WHERE id = 6) SELECT u.id FROM users u, one WHERE u.country = one.country;

WITH one AS (SELECT id, country FROM users WHERE id = 6) SELECT * FROM one;

WITH RECURSIVE t(n) AS (SELECT min(id) FROM users UNION ALL SELECT n + 7 FROM t WHERE n < 30) SELECT u.id FROM t JOIN users u ON u.id = t.n;

WITH RECURSIVE t(id, d) AS (SELECT id, 1 FROM users WHERE id = 6 UNION ALL SELECT p.n::bigint * 7 + 6, d + 1 FROM t JOIN payments p ON p.user_id = t.id WHERE d < 4) SELECT * FROM t;

WITH a AS (SELECT id FROM users LIMIT 100), b AS (SELECT count(*) AS n FROM a) SELECT n FROM b;

WITH x AS (SELECT 1 AS k) SELECT count(*) FROM users, x WHERE country = k;

SELECT (SELECT count(*) FROM users), (SELECT sum(amount) FROM payments);

SELECT (SELECT email FROM users WHERE id = 6) AS e, count(*) FROM payments;

SELECT c.id, (SELECT string_agg(u.email, ',' ORDER BY u.id) FROM users u WHERE u.country = c.id) FROM countries c;

SELECT ARRAY(SELECT id FROM users ORDER BY id LIMIT 4);

SELECT ARRAY(SELECT p.id FROM payments p WHERE p.user_id = u.id ORDER BY p.id) FROM users u;

SELECT EXISTS (SELECT FROM users WHERE country = 3), EXISTS (SELECT FROM users WHERE country = 300);

SELECT (SELECT u) FROM users u WHERE country = 1;

SELECT u.id FROM users u WHERE (SELECT count(*) FROM payments p WHERE p.user_id = u.id) = (SELECT max(c) FROM (SELECT count(*) c FROM payments GROUP BY user_id) z);

SELECT * FROM users u JOIN (SELECT user_id, max(amount) m FROM payments GROUP BY user_id) p ON p.user_id = u.id;

SELECT * FROM users u JOIN (SELECT n, max(amount) m FROM payments GROUP BY n) p ON p.n = u.country;

SELECT * FROM (SELECT * FROM users ORDER BY score DESC LIMIT 5) t JOIN payments p ON p.user_id = t.id;

SELECT id, generate_series(1, 2) FROM users WHERE country = 2;

SELECT u.id, g FROM users u, generate_series(1, u.country) g;

SELECT u.id, e FROM users u, unnest(ARRAY[u.email, u.code]) e;

SELECT u.id, j.key FROM users u, jsonb_each_text(to_jsonb(u)) j WHERE j.value = 'ann';

SELECT * FROM ROWS FROM (generate_series(1, 3), generate_series(1, 2)) AS t(a, b) JOIN users u ON u.country = t.a;

SELECT count(*) FROM users TABLESAMPLE BERNOULLI (100);

SELECT id FROM users WHERE email ILIKE 'b%' AND score BETWEEN 1 AND 40;

SELECT id, email IS DISTINCT FROM code, email = ANY ('{ann,Bob}'), (email, code) > ('a', 'b') FROM users;

SELECT sum(x) FROM (SELECT sum(n) AS x FROM payments GROUP BY user_id UNION ALL SELECT sum(country) FROM users GROUP BY id) z;

SELECT now() = transaction_timestamp(), count(*) FROM users;

SELECT current_user = session_user, current_database() IS NOT NULL, count(*) > 0 FROM users;

SELECT pg_typeof(sum(n)), pg_typeof(avg(f)), pg_typeof(max(note)) FROM payments;

SELECT count(*) FROM users u, payments p WHERE u.id = p.user_id AND u.id IN (6, 13, 20);

SELECT * FROM ONLY users WHERE id > 300;

SELECT * FROM users AS u (a, b) WHERE a > 300;

SELECT "users"."id", public.users.email FROM public.users ORDER BY public.users.id LIMIT 3;

SELECT FROM users WHERE country = 2;

SELECT u FROM users u;

-- ordered
SELECT u FROM users u ORDER BY u DESC;

-- ordered
SELECT u.id, p FROM users u LEFT JOIN payments p ON p.note = u.email ORDER BY u.id, p;

SELECT count(p), count(DISTINCT p), count(*) FROM users u LEFT JOIN payments p ON p.n = u.country;

SELECT u IS NULL, p IS NULL, p IS NOT NULL FROM users u LEFT JOIN payments p ON p.n = u.country;

SELECT x.u, (x.u).email FROM (SELECT u FROM users u LIMIT 1000) x;

-- ordered
SELECT DISTINCT ROW(country, code) AS r FROM users ORDER BY r;

-- ordered
SELECT country, array_agg(u ORDER BY id)::text, max(ROW(u.score, u.id)::text) FROM users u GROUP BY country ORDER BY country;

SELECT row_to_json(u, true), jsonb_build_object('u', u) FROM users u WHERE (u).country = 2;

SELECT count(*), NULL, 'x'::text, 1.50 FROM users
;


SELECT count(*) FROM users AS u TABLESAMPLE SYSTEM (100) REPEATABLE (4) JOIN payments p ON p.user_id = u.id;

SELECT u.id FROM users u TABLESAMPLE BERNOULLI (100) JOIN payments p ON p.id = u.id WHERE u.id > 3;

SELECT max(n) FROM (SELECT row_number() OVER (ORDER BY id) AS n FROM users TABLESAMPLE BERNOULLI (100)) x;

SELECT count(*) FROM countries TABLESAMPLE BERNOULLI (100), users;
