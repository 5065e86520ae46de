SELECT z, count(*) FROM (users a JOIN countries b ON a.country = b.id) AS x (id, email, z) WHERE x.z = 3 GROUP BY z;

SELECT count(*) FROM (users a JOIN countries b ON a.country = b.id) AS x (q, e, country, c, s, id, name) WHERE id = 3;

SELECT country FROM (users a JOIN countries b ON a.country = b.id) AS x (q, e, country, c, s, id, name) WHERE id = 3;

SELECT id, count(*) FROM (users a JOIN countries b ON a.country = b.id) AS x (q, e, country, c, s, id, name) GROUP BY id;

SELECT DISTINCT id FROM (users a JOIN countries b ON a.country = b.id) AS x (q, e, country, c, s, id, name);

SELECT id, row_number() OVER (PARTITION BY id ORDER BY q) FROM (users a JOIN countries b ON a.country = b.id) AS x (q, e, country, c, s, id, name);

SELECT u.id, x.name FROM users u JOIN (users a JOIN countries b ON a.country = b.id) AS x (q, e, country, c, s, id, name) ON x.id = u.id;

SELECT u.id, x.name FROM users u LEFT JOIN (users a JOIN countries b ON a.country = b.id) AS x (q, e, country, c, s, id, name) USING (id);

SELECT * FROM users u JOIN (payments a JOIN countries b ON a.n = b.id) AS x (pid, id, am, n, note, f, user_id, name) USING (id) WHERE x.user_id = 3;

SELECT count(*) FROM users u WHERE u.id IN (SELECT id FROM (users a JOIN countries b ON a.country = b.id) AS x (q, e, country, c, s, id, name));

SELECT count(*) FROM users u WHERE EXISTS (SELECT FROM (payments a JOIN countries b ON a.n = b.id) AS x (pid, k, am, n, note, f, user_id, name) WHERE x.user_id = u.id);

SELECT count(*) FROM users u WHERE EXISTS (SELECT FROM (payments a JOIN countries b ON a.n = b.id) AS x (pid, k, am, n, note, f, user_id, name) WHERE user_id = u.id);

SELECT q.x, q.y FROM (SELECT * FROM users a JOIN users b USING (country, id)) AS q (x, y) WHERE q.x = 3;

SELECT x, count(*) FROM (SELECT * FROM users a JOIN users b USING (country, id)) AS q (x, y) GROUP BY x;

SELECT y, count(*) FROM (SELECT * FROM users a JOIN users b USING (country, id)) AS q (x, y) WHERE y = 13 GROUP BY y;

SELECT count(*) FROM (SELECT * FROM users a JOIN users b USING (country, id)) AS q (x, y) JOIN payments p ON p.user_id = q.x;

SELECT count(*) FROM (SELECT * FROM (SELECT id, country FROM users) a JOIN (SELECT id, country FROM users) b USING (country, id) EXCEPT SELECT country, id FROM users WHERE id > 10) q;

SELECT * FROM (SELECT id, country FROM users) a JOIN (SELECT id, country FROM users) b USING (country, id) EXCEPT SELECT id, country::bigint FROM users;

SELECT q.a, q.b, q.c FROM (SELECT * FROM (SELECT id, country AS n FROM users) s NATURAL JOIN (SELECT user_id AS k, n FROM payments) p) AS q (a, b, c) WHERE q.b = 13;

SELECT q.b, count(*) FROM (SELECT * FROM (SELECT n, id FROM payments) s NATURAL JOIN (SELECT n, user_id FROM payments) p) AS q (a, b, c) WHERE a = 3 GROUP BY b;

SELECT q.* FROM (SELECT * FROM (SELECT id, country FROM users WHERE country = 2) s NATURAL FULL JOIN (SELECT id, score FROM users) p) AS q (a, b, c) WHERE q.c = 3;

SELECT q.* FROM (SELECT * FROM (SELECT id, country FROM users) s FULL JOIN (SELECT id, country AS d FROM users) p USING (id)) AS q (a, b, c) WHERE q.c = 3;

SELECT x.a, x.k FROM (SELECT u.*, u.id AS k FROM users u) AS x (a, b, c, d, e, k) WHERE x.k = 13;

SELECT q.k FROM users o, LATERAL (SELECT o.*, 13 AS k) AS q (a, k) WHERE q.a = 3;

SELECT q.* FROM (SELECT x.*, u.id AS key FROM (countries a JOIN countries b USING (id)) AS x JOIN users u ON u.country = x.id) AS q WHERE q.key = 13;

SELECT q.a FROM (SELECT x.*, u.id AS key FROM (countries a JOIN countries b USING (id)) AS x JOIN users u ON u.country = x.id) AS q (a, b, c, d) WHERE q.d = 13;

SELECT q.a, q.d FROM (SELECT x.*, u.id AS key FROM (countries a JOIN countries b USING (id)) AS x JOIN users u ON u.country = x.id) AS q (a, b, c, d) WHERE q.a = 3;

SELECT count(*), sum(x.id), sum(c.id), sum(a.id) FROM (users x JOIN users y USING (id)), ((users a FULL JOIN users b USING (id)) JOIN users c USING (id)) WHERE x.country = c.country;

SELECT count(*), sum(x.id), sum(c.id) FROM (users x JOIN users y USING (id)), (((SELECT * FROM users WHERE country = 2) a FULL JOIN (SELECT * FROM users WHERE country = 3) b USING (id)) JOIN users c USING (id));

SELECT count(*), sum(c.id) FROM (((SELECT * FROM users WHERE country = 2) a FULL JOIN (SELECT * FROM users WHERE country = 3) b USING (id)) JOIN users c USING (id));

SELECT count(*), sum(c.id) FROM (((SELECT * FROM users WHERE country = 2) a LEFT JOIN (SELECT * FROM users WHERE country = 3) b USING (id)) RIGHT JOIN users c USING (id));

SELECT id, count(*), count(a.id) FROM (((SELECT * FROM users WHERE country = 2) a LEFT JOIN (SELECT * FROM users WHERE country = 3) b USING (id)) RIGHT JOIN users c USING (id)) GROUP BY id;

SELECT id, count(*), count(a.id) FROM (((SELECT * FROM users WHERE country = 2) a RIGHT JOIN (SELECT * FROM users WHERE country = 3) b USING (id)) LEFT JOIN users c USING (id)) GROUP BY id;

SELECT u.id FROM payments u WHERE EXISTS (SELECT 1 FROM (payments u JOIN countries c ON u.n = c.id) AS x (pid, k) WHERE u.user_id = 13 AND x.k = 13);

SELECT count(*) FROM payments u WHERE u.user_id < 20 AND EXISTS (SELECT 1 FROM (payments u JOIN countries c ON u.n = c.id) AS x (pid, k) WHERE u.user_id = 13 AND x.k = 6);

SELECT count(*) FROM payments x WHERE EXISTS (SELECT 1 FROM payments x, (payments a JOIN countries b ON x.user_id = 13) WHERE x.user_id = 6 AND a.user_id = 6);

SELECT count(*) FROM payments x WHERE EXISTS (SELECT 1 FROM payments x CROSS JOIN (users a JOIN countries b ON x.user_id = 13 AND a.id = b.id) WHERE x.n = 1);

SELECT count(*) FROM users AS u, LATERAL (SELECT * FROM payments AS u WHERE u.user_id = 13) q;

SELECT users.id FROM users, (SELECT * FROM payments) AS p WHERE public.users.id = 13 AND p.user_id = users.id;

SELECT count(*) FROM payments AS users WHERE EXISTS (SELECT FROM users WHERE public.users.id = users.id AND users.id = 13);

SELECT count(*) FROM users WHERE EXISTS (SELECT FROM payments AS users WHERE public.users.id = 13 AND users.user_id = 6);

SELECT count(*) FROM users WHERE EXISTS (SELECT FROM users_all AS users WHERE public.users.id = 13 AND users.id = 6);

SELECT j.id, j.country FROM users x JOIN users y USING (id, country) AS j WHERE j.id = 13;

SELECT j.country, count(*) FROM users x JOIN users y USING (country, id) AS j GROUP BY j.country;

SELECT count(*) FROM users j WHERE EXISTS (SELECT FROM users x JOIN users y USING (id) AS j WHERE j.id = 13);

SELECT count(*) FROM users j WHERE EXISTS (SELECT FROM users x JOIN payments y ON y.user_id = x.id JOIN users z USING (country) AS j WHERE j.country = 3 AND x.id = 13);

SELECT j.* FROM users x JOIN users y USING (country, id) AS j;

SELECT q.* FROM (SELECT j.* FROM users x JOIN users y USING (country, id) AS j) AS q (a, b) WHERE q.a = 3;

SELECT q.* FROM (SELECT j.*, x.id AS k FROM users x JOIN users y USING (country, id) AS j) AS q (a, b, c) WHERE q.a = 3;

SELECT x.* FROM (users a JOIN countries b ON a.country = b.id) AS x;

SELECT x.email FROM (users a JOIN countries b ON a.country = b.id) AS x WHERE x.email = 'user13@x';

SELECT x FROM (users a JOIN countries b ON a.country = b.id) AS x (q, e, country, c, s, id, name) WHERE x.q = 13;

SELECT x.user_id, sum(x.n) FROM (users a JOIN payments b ON a.id = b.user_id) AS x WHERE x.user_id = 13 GROUP BY x.user_id;

SELECT x.user_id, sum(x.n) FROM (users a JOIN payments b ON a.id = b.user_id) AS x GROUP BY x.user_id;

SELECT user_id, sum(n) FROM (users a JOIN payments b ON a.id = b.user_id) AS x GROUP BY user_id;

UPDATE users SET score = 7 FROM (payments a JOIN countries b ON a.n = b.id) AS x (pid, k, am, n, note, f, user_id, name) WHERE x.user_id = users.id;

UPDATE users SET score = 7 FROM (payments a JOIN countries b ON a.n = b.id) AS x (pid, k, am, n, note, f, user_id, name) WHERE user_id = users.id;

DELETE FROM payments USING (users a JOIN countries b ON a.country = b.id) AS x (q, e, country, c, s, id, name) WHERE x.id = payments.user_id;

DELETE FROM payments p USING (users a JOIN countries b ON a.country = b.id) AS x (q, e, country, c, s, uid, name) WHERE uid = user_id;

INSERT INTO users (id, email) SELECT id + 9000, e FROM (users a JOIN countries b ON a.country = b.id) AS x (q, e, country, c, s, i, id) WHERE x.q = 13;

INSERT INTO users (id, email) SELECT q + 9000, e FROM (users a JOIN countries b ON a.country = b.id) AS x (q, e, country, c, s, id) WHERE id = 3;

MERGE INTO users u USING (payments a JOIN countries b ON a.n = b.id AND a.n = 3) AS x (pid, k, am, n, note, f, user_id, name) ON u.id = x.user_id WHEN MATCHED THEN DELETE;

MERGE INTO users u USING (SELECT * FROM (SELECT id, country FROM users WHERE id < 6) a JOIN (SELECT id, country FROM users) b USING (country, id)) AS x (id, k) ON u.id = x.id AND x.k > 0 WHEN MATCHED THEN UPDATE SET score = u.score + 1 WHEN NOT MATCHED THEN DO NOTHING;

SELECT id, email FROM users WHERE (id, country) IN (SELECT * FROM (SELECT country, id FROM users) a JOIN (SELECT id, country FROM users) b USING (id, country));

SELECT id, email FROM users WHERE (id, country) IN (SELECT * FROM (SELECT id, country FROM users) a JOIN (SELECT id, country FROM users) b USING (country, id));

SELECT u.id, x.m FROM users u LEFT JOIN (users a JOIN countries b ON a.country = b.id) AS x (q, e, id, m) ON x.id = u.id WHERE u.id < 10;

SELECT u.id, x.m FROM users u JOIN (users a JOIN countries b ON a.country = b.id) AS x (id, e, k, m) ON x.id = u.id WHERE u.id < 10;

SELECT u.id, x.m FROM users u JOIN (users a JOIN countries b ON a.country = b.id) AS x (q, e, id, m) USING (id);

SELECT id, count(*) FROM users u JOIN (users a JOIN countries b ON a.country = b.id) AS x (q, e, id, m) USING (id) GROUP BY id;

SELECT id, count(*) FROM users u LEFT JOIN (users a JOIN countries b ON a.country = b.id) AS x (q, e, id, m) USING (id) GROUP BY id;

DELETE FROM users USING (payments a JOIN countries b ON a.n = b.id) AS x (user_id, z) WHERE x.user_id = users.id;

DELETE FROM users USING (payments a JOIN countries b ON a.n = b.id) AS x (user_id, k) WHERE user_id = users.id;

UPDATE users u SET score = 2 FROM payments p WHERE EXISTS (SELECT 1 FROM (payments p JOIN countries c ON true) AS z WHERE p.user_id = u.id AND p.n = 3);

SELECT id, count(*) FROM (SELECT * FROM users WHERE country = 2) a FULL JOIN (SELECT * FROM users WHERE country = 3) b USING (id) LEFT JOIN users c USING (id) GROUP BY id;

SELECT id, count(*) FROM (SELECT * FROM users WHERE country = 2) a FULL JOIN (SELECT * FROM users WHERE country = 3) b USING (id) GROUP BY id;

SELECT id, count(*) FROM (SELECT * FROM users WHERE country = 2) a LEFT JOIN users b USING (id) RIGHT JOIN users c USING (id) GROUP BY id;

SELECT x.id, c.name FROM users x JOIN countries c ON c.id = x.country WHERE x.id IN (SELECT a.user_id FROM (payments a JOIN countries x ON a.n = x.id) AS y WHERE x.id = 13);

SELECT x.id FROM users x WHERE x.id < 30 AND EXISTS (SELECT 1 FROM users x, (users a JOIN countries b ON x.id = 13 AND b.id = 1) WHERE a.id = 20);

SELECT u.id FROM users u WHERE (SELECT max(x.score) FROM users x JOIN users y USING (id) AS u WHERE u.id = 13) > 3;

SELECT count(*), sum(x.id), sum(c.id), sum(a.id) FROM (users x JOIN users y USING (id)) JOIN ((users a FULL JOIN users b USING (id)) JOIN users c USING (id)) ON x.country = c.country;

SELECT id, count(*) FROM users a NATURAL JOIN users b GROUP BY id;

SELECT id, count(*) FROM countries a LEFT JOIN users b USING (id) WHERE id = 3 GROUP BY id;

SELECT u.id, q.user_id FROM users u LEFT JOIN LATERAL (SELECT p.user_id FROM payments p WHERE p.user_id = u.country ORDER BY p.n, p.id LIMIT 1) q ON true;

SELECT id FROM users u CROSS JOIN LATERAL (SELECT u.country AS k) AS c (id) WHERE u.id = 3;

SELECT id, count(u.email) FROM generate_series(1, 20) AS g (id) LEFT JOIN users u USING (id) GROUP BY id;

