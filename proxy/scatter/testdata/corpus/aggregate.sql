SELECT count(*) FROM users;

SELECT count(*) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, count(*) FROM users GROUP BY country ORDER BY country;

SELECT count(*) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT count(email) FROM users;

SELECT count(email) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, count(email) FROM users GROUP BY country ORDER BY country;

SELECT count(email) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT sum(score) FROM users;

SELECT sum(score) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, sum(score) FROM users GROUP BY country ORDER BY country;

SELECT sum(score) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT sum(country) FROM users;

SELECT sum(country) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, sum(country) FROM users GROUP BY country ORDER BY country;

SELECT sum(country) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT sum(id) FROM users;

SELECT sum(id) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, sum(id) FROM users GROUP BY country ORDER BY country;

SELECT sum(id) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT min(email) FROM users;

SELECT min(email) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, min(email) FROM users GROUP BY country ORDER BY country;

SELECT min(email) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT max(email) FROM users;

SELECT max(email) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, max(email) FROM users GROUP BY country ORDER BY country;

SELECT max(email) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT min(code) FROM users;

SELECT min(code) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, min(code) FROM users GROUP BY country ORDER BY country;

SELECT min(code) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT max(code) FROM users;

SELECT max(code) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, max(code) FROM users GROUP BY country ORDER BY country;

SELECT max(code) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT min(score) FROM users;

SELECT min(score) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, min(score) FROM users GROUP BY country ORDER BY country;

SELECT min(score) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT max(id) FROM users;

SELECT max(id) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, max(id) FROM users GROUP BY country ORDER BY country;

SELECT max(id) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT avg(score) FROM users;

SELECT avg(score) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, avg(score) FROM users GROUP BY country ORDER BY country;

SELECT avg(score) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT avg(country) FROM users;

SELECT avg(country) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, avg(country) FROM users GROUP BY country ORDER BY country;

SELECT avg(country) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT avg(id) FROM users;

SELECT avg(id) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, avg(id) FROM users GROUP BY country ORDER BY country;

SELECT avg(id) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT stddev(score) FROM users;

SELECT stddev(score) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, stddev(score) FROM users GROUP BY country ORDER BY country;

SELECT stddev(score) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT stddev_pop(country) FROM users;

SELECT stddev_pop(country) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, stddev_pop(country) FROM users GROUP BY country ORDER BY country;

SELECT stddev_pop(country) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT stddev_samp(id) FROM users;

SELECT stddev_samp(id) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, stddev_samp(id) FROM users GROUP BY country ORDER BY country;

SELECT stddev_samp(id) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT variance(score) FROM users;

SELECT variance(score) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, variance(score) FROM users GROUP BY country ORDER BY country;

SELECT variance(score) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT var_pop(id) FROM users;

SELECT var_pop(id) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, var_pop(id) FROM users GROUP BY country ORDER BY country;

SELECT var_pop(id) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT var_samp(country) FROM users;

SELECT var_samp(country) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, var_samp(country) FROM users GROUP BY country ORDER BY country;

SELECT var_samp(country) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT bool_and(country > 1) FROM users;

SELECT bool_and(country > 1) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, bool_and(country > 1) FROM users GROUP BY country ORDER BY country;

SELECT bool_and(country > 1) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT bool_or(country > 5) FROM users;

SELECT bool_or(country > 5) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, bool_or(country > 5) FROM users GROUP BY country ORDER BY country;

SELECT bool_or(country > 5) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT every(id > 0) FROM users;

SELECT every(id > 0) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, every(id > 0) FROM users GROUP BY country ORDER BY country;

SELECT every(id > 0) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT bit_and(country) FROM users;

SELECT bit_and(country) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, bit_and(country) FROM users GROUP BY country ORDER BY country;

SELECT bit_and(country) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT bit_or(country) FROM users;

SELECT bit_or(country) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, bit_or(country) FROM users GROUP BY country ORDER BY country;

SELECT bit_or(country) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT array_agg(id ORDER BY id) FROM users;

SELECT array_agg(id ORDER BY id) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, array_agg(id ORDER BY id) FROM users GROUP BY country ORDER BY country;

SELECT array_agg(id ORDER BY id) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT string_agg(email, ',' ORDER BY id) FROM users;

SELECT string_agg(email, ',' ORDER BY id) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, string_agg(email, ',' ORDER BY id) FROM users GROUP BY country ORDER BY country;

SELECT string_agg(email, ',' ORDER BY id) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT json_agg(id ORDER BY id) FROM users;

SELECT json_agg(id ORDER BY id) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, json_agg(id ORDER BY id) FROM users GROUP BY country ORDER BY country;

SELECT json_agg(id ORDER BY id) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT jsonb_agg(country ORDER BY id) FROM users;

SELECT jsonb_agg(country ORDER BY id) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, jsonb_agg(country ORDER BY id) FROM users GROUP BY country ORDER BY country;

SELECT jsonb_agg(country ORDER BY id) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT count(DISTINCT country) FROM users;

SELECT count(DISTINCT country) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, count(DISTINCT country) FROM users GROUP BY country ORDER BY country;

SELECT count(DISTINCT country) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT count(DISTINCT email) FROM users;

SELECT count(DISTINCT email) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, count(DISTINCT email) FROM users GROUP BY country ORDER BY country;

SELECT count(DISTINCT email) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT sum(DISTINCT country) FROM users;

SELECT sum(DISTINCT country) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, sum(DISTINCT country) FROM users GROUP BY country ORDER BY country;

SELECT sum(DISTINCT country) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT avg(DISTINCT country) FROM users;

SELECT avg(DISTINCT country) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, avg(DISTINCT country) FROM users GROUP BY country ORDER BY country;

SELECT avg(DISTINCT country) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT max(DISTINCT country) FROM users;

SELECT max(DISTINCT country) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, max(DISTINCT country) FROM users GROUP BY country ORDER BY country;

SELECT max(DISTINCT country) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT json_object_agg(id, country ORDER BY id) FROM users;

SELECT json_object_agg(id, country ORDER BY id) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, json_object_agg(id, country ORDER BY id) FROM users GROUP BY country ORDER BY country;

SELECT json_object_agg(id, country ORDER BY id) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT count(*) FILTER (WHERE country > 2) FROM users;

SELECT count(*) FILTER (WHERE country > 2) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, count(*) FILTER (WHERE country > 2) FROM users GROUP BY country ORDER BY country;

SELECT count(*) FILTER (WHERE country > 2) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT sum(score) FILTER (WHERE email IS NOT NULL) FROM users;

SELECT sum(score) FILTER (WHERE email IS NOT NULL) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, sum(score) FILTER (WHERE email IS NOT NULL) FROM users GROUP BY country ORDER BY country;

SELECT sum(score) FILTER (WHERE email IS NOT NULL) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY score) FROM users;

SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY score) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, percentile_disc(0.5) WITHIN GROUP (ORDER BY score) FROM users GROUP BY country ORDER BY country;

SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY score) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT percentile_cont(0.25) WITHIN GROUP (ORDER BY id) FROM users;

SELECT percentile_cont(0.25) WITHIN GROUP (ORDER BY id) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, percentile_cont(0.25) WITHIN GROUP (ORDER BY id) FROM users GROUP BY country ORDER BY country;

SELECT percentile_cont(0.25) WITHIN GROUP (ORDER BY id) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT mode() WITHIN GROUP (ORDER BY country) FROM users;

SELECT mode() WITHIN GROUP (ORDER BY country) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, mode() WITHIN GROUP (ORDER BY country) FROM users GROUP BY country ORDER BY country;

SELECT mode() WITHIN GROUP (ORDER BY country) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT sum(score) / count(*) FROM users;

SELECT sum(score) / count(*) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, sum(score) / count(*) FROM users GROUP BY country ORDER BY country;

SELECT sum(score) / count(*) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT round(avg(score), 3) FROM users;

SELECT round(avg(score), 3) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, round(avg(score), 3) FROM users GROUP BY country ORDER BY country;

SELECT round(avg(score), 3) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT coalesce(sum(country), 0) + count(*) FROM users;

SELECT coalesce(sum(country), 0) + count(*) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, coalesce(sum(country), 0) + count(*) FROM users GROUP BY country ORDER BY country;

SELECT coalesce(sum(country), 0) + count(*) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT max(score) - min(score) FROM users;

SELECT max(score) - min(score) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, max(score) - min(score) FROM users GROUP BY country ORDER BY country;

SELECT max(score) - min(score) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT string_agg(DISTINCT code, '-' ORDER BY code) FROM users;

SELECT string_agg(DISTINCT code, '-' ORDER BY code) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, string_agg(DISTINCT code, '-' ORDER BY code) FROM users GROUP BY country ORDER BY country;

SELECT string_agg(DISTINCT code, '-' ORDER BY code) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT array_agg(DISTINCT country ORDER BY country) FROM users;

SELECT array_agg(DISTINCT country ORDER BY country) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, array_agg(DISTINCT country ORDER BY country) FROM users GROUP BY country ORDER BY country;

SELECT array_agg(DISTINCT country ORDER BY country) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT regr_count(id, country) FROM users;

SELECT regr_count(id, country) AS v FROM users WHERE id < -1000;

-- ordered
SELECT country, regr_count(id, country) FROM users GROUP BY country ORDER BY country;

SELECT regr_count(id, country) FROM users WHERE id IN (-50, 6, 13, 20, 27, 34);

SELECT sum(amount) FROM payments;

-- ordered
SELECT user_id, sum(amount) FROM payments GROUP BY user_id ORDER BY user_id;

-- ordered
SELECT note, sum(amount) FROM payments GROUP BY 1 ORDER BY 1 NULLS FIRST;

SELECT avg(amount) FROM payments;

-- ordered
SELECT user_id, avg(amount) FROM payments GROUP BY user_id ORDER BY user_id;

-- ordered
SELECT note, avg(amount) FROM payments GROUP BY 1 ORDER BY 1 NULLS FIRST;

SELECT max(amount) FROM payments;

-- ordered
SELECT user_id, max(amount) FROM payments GROUP BY user_id ORDER BY user_id;

-- ordered
SELECT note, max(amount) FROM payments GROUP BY 1 ORDER BY 1 NULLS FIRST;

SELECT count(amount) FROM payments;

-- ordered
SELECT user_id, count(amount) FROM payments GROUP BY user_id ORDER BY user_id;

-- ordered
SELECT note, count(amount) FROM payments GROUP BY 1 ORDER BY 1 NULLS FIRST;

SELECT sum(n) FROM payments;

-- ordered
SELECT user_id, sum(n) FROM payments GROUP BY user_id ORDER BY user_id;

-- ordered
SELECT note, sum(n) FROM payments GROUP BY 1 ORDER BY 1 NULLS FIRST;

SELECT sum(amount * n) FROM payments;

-- ordered
SELECT user_id, sum(amount * n) FROM payments GROUP BY user_id ORDER BY user_id;

-- ordered
SELECT note, sum(amount * n) FROM payments GROUP BY 1 ORDER BY 1 NULLS FIRST;

