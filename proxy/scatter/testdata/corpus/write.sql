INSERT INTO users VALUES (1001, 'w1', 1, 'c', 1.5);

INSERT INTO users (id, email) VALUES (1002, 'w2'), (1003, 'w3'), (1004, NULL), (1005, 'w5');

INSERT INTO users (email, id) VALUES ('w6', 1006);

INSERT INTO users VALUES (1001, 'again');

INSERT INTO users (id, email) VALUES (1007, 'a'), (1007, 'b');

-- ordered
INSERT INTO users (id, email) VALUES (1010, 'r'), (1011, 's'), (1012, 't') RETURNING id, email;

INSERT INTO users (id) VALUES (1013) RETURNING *;

INSERT INTO users (id, email) VALUES (1001, 'c') ON CONFLICT DO NOTHING;

-- ordered
INSERT INTO users (id, email) VALUES (1028, 'g'), (1027, 'f'), (1026, 'e'), (1025, 'd'), (1024, 'c'), (1023, 'b'), (1022, 'a'), (1021, 'z') RETURNING id, email;

-- ordered
INSERT INTO users (id, email) VALUES (1001, 'c'), (1014, 'd') ON CONFLICT (id) DO UPDATE SET email = excluded.email || '!' RETURNING id, email;

-- ordered
SELECT id, email FROM users WHERE id > 1000 ORDER BY id;

INSERT INTO users SELECT id + 2000, email, country, code, score FROM users WHERE id BETWEEN 0 AND 100;

INSERT INTO users SELECT id + 3000, email, country, code, score FROM users WHERE id = 6;

INSERT INTO payments (id, user_id, n) SELECT id, id, country FROM users WHERE country = 2;

INSERT INTO payments (id, user_id) SELECT 9000 + g, g FROM generate_series(1, 10) g;

INSERT INTO payments (id, user_id, amount) SELECT max(id), country, sum(score) FROM users WHERE country IS NOT NULL GROUP BY country RETURNING user_id, amount;

INSERT INTO users SELECT id FROM users WHERE false;

INSERT INTO users (id) SELECT 5000 WHERE false RETURNING id;

SELECT count(*), sum(id), sum(amount) FROM payments;

UPDATE users SET email = 'u' WHERE id = 1002;

UPDATE users SET email = email || 'x' WHERE id IN (1002, 1003, 1005);

UPDATE users SET score = coalesce(score, 0) + 1;

UPDATE users SET country = country + 1 WHERE country = 3 RETURNING id, country;

UPDATE users u SET email = c.name FROM countries c WHERE c.id = u.country AND u.id > 1000;

UPDATE users u SET score = p.n FROM payments p WHERE p.user_id = u.id AND p.id = 9;

UPDATE users SET score = 1e10 WHERE id > 0;

UPDATE payments SET n = (SELECT max(id) FROM countries) WHERE user_id = 6;

UPDATE users SET email = (SELECT note FROM payments p WHERE p.user_id = users.id ORDER BY p.id LIMIT 1) WHERE country = 1;

-- ordered
SELECT id, email, country, score FROM users ORDER BY id;

DELETE FROM users WHERE id = 1003;

DELETE FROM users WHERE id IN (1004, 1005) RETURNING id;

DELETE FROM users WHERE country = 4;

DELETE FROM payments USING users u WHERE u.id = payments.user_id AND u.country = 5;

DELETE FROM payments WHERE user_id IN (SELECT id FROM users WHERE country = 2);

DELETE FROM payments p WHERE NOT EXISTS (SELECT FROM users u WHERE u.id = p.user_id);

SELECT count(*), sum(n) FROM payments;

UPDATE users SET id = 7001 WHERE id = 1001;

UPDATE users SET id = id + 8000 WHERE id IN (1010, 1011, 1012);

UPDATE users SET id = id + 1000000, email = 'moved' WHERE country = 1;

UPDATE users SET id = 7001 WHERE id = 1013;

UPDATE users SET id = NULL WHERE id = 1013;

UPDATE users SET id = 1 WHERE false;

-- ordered
SELECT * FROM users ORDER BY id;

INSERT INTO countries VALUES (100, 'Omni');

INSERT INTO countries (id) VALUES (101), (102) RETURNING id;

UPDATE countries SET name = upper(name) WHERE id > 50;

UPDATE countries SET name = 'x' RETURNING id, name;

DELETE FROM countries WHERE id = 101;

INSERT INTO countries VALUES (100, 'dup');

INSERT INTO countries VALUES (100, 'dup') ON CONFLICT (id) DO UPDATE SET name = 'updated';

-- ordered
SELECT * FROM countries ORDER BY id;

MERGE INTO users u USING (VALUES (6, 'm')) AS v(id, e) ON u.id = v.id AND u.id = 6 WHEN MATCHED THEN UPDATE SET email = v.e;

WITH d AS (DELETE FROM users WHERE id = 20 RETURNING id) SELECT * FROM d;

BEGIN;

WITH i AS (INSERT INTO users (id, email) VALUES (9100, 'cte') RETURNING id) SELECT id FROM i;

INSERT INTO users (email) VALUES ('nokey');

INSERT INTO payments (id, user_id) VALUES (1, 'x');

INSERT INTO payments (id, user_id) VALUES (1, 99999999999999999999);

DELETE FROM users WHERE id = 'abc';

SELECT count(*) FROM users;

TRUNCATE payments;

SELECT count(*) FROM payments;

