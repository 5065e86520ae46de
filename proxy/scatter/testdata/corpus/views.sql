CREATE VIEW rich AS SELECT id, email, score FROM users WHERE score > 20;

-- ordered
SELECT * FROM rich ORDER BY id;

SELECT email FROM rich WHERE id = 13;

CREATE OR REPLACE VIEW rich AS SELECT id, email, score, country FROM users WHERE score > 30;

-- ordered
SELECT * FROM rich ORDER BY score DESC, id LIMIT 6;

ALTER VIEW rich RENAME COLUMN id TO number;

SELECT score FROM rich WHERE number = 13;

-- ordered
SELECT r.number, sum(p.n) FROM rich r JOIN payments p ON p.user_id = r.number GROUP BY r.number ORDER BY 1;

ALTER VIEW rich RENAME TO richer;

SELECT count(*) FROM richer;

SELECT count(*) FROM rich;

CREATE VIEW checked WITH (security_barrier) AS SELECT id, email, country FROM users WHERE country = 3 WITH CASCADED CHECK OPTION;

INSERT INTO checked VALUES (6001, 'ok', 3);

INSERT INTO checked VALUES (6002, 'not', 4);

INSERT INTO checked VALUES (6003, 'ok', 3), (6004, 'not', 4), (6005, 'ok', 3);

UPDATE checked SET country = 4 WHERE id = 6001;

UPDATE checked SET email = 'better' WHERE id = 6001 RETURNING *;

DELETE FROM checked WHERE id = 6001;

ALTER VIEW checked ALTER COLUMN email SET DEFAULT 'by the view';

INSERT INTO checked (id, country) VALUES (6006, 3) RETURNING *;

DELETE FROM checked WHERE id > 6000;

CREATE SCHEMA made;

CREATE VIEW made.users AS SELECT country, count(*) FROM countries c JOIN (SELECT 1 AS country) x ON true GROUP BY country;

SELECT * FROM made.users;

DROP VIEW made.users;

CREATE TABLE made.users AS SELECT id, email FROM users WHERE country < 4;

-- ordered
SELECT * FROM made.users ORDER BY id LIMIT 8;

SELECT u.email, m.email FROM users u JOIN made.users m USING (id) WHERE id = 13;

SELECT id AS user_id, score INTO made.payments FROM users WHERE score > 10;

SELECT count(*), sum(score) FROM made.payments;

SELECT score FROM made.payments WHERE user_id = 13;

CREATE TABLE made.small (a, b) AS SELECT id, name FROM countries;

SELECT * FROM made.small;

CREATE TABLE made.empty AS SELECT * FROM users WITH NO DATA;

SELECT count(*) FROM made.empty;

CREATE MATERIALIZED VIEW made.totals AS SELECT user_id, sum(amount) AS total, count(*) AS n FROM payments_all GROUP BY user_id;

-- ordered
SELECT * FROM made.totals ORDER BY total DESC, user_id LIMIT 10;

SELECT total FROM made.totals WHERE user_id = 13;

SELECT sum(total), sum(n) FROM made.totals;

-- ordered
SELECT u.id, t.n FROM users u LEFT JOIN made.totals t ON t.user_id = u.id ORDER BY 1;

DELETE FROM payments WHERE n = 0;

SELECT sum(n) FROM made.totals;

REFRESH MATERIALIZED VIEW made.totals;

SELECT sum(n) FROM made.totals;

CREATE UNIQUE INDEX ON made.totals (user_id);

REFRESH MATERIALIZED VIEW CONCURRENTLY made.totals;

SELECT count(*) FROM made.totals;

INSERT INTO made.totals VALUES (1);

CREATE VIEW over AS SELECT r.number AS n, t.total FROM richer r JOIN made.totals t ON t.user_id = r.number;

-- ordered
SELECT * FROM over ORDER BY n;

SELECT total FROM over WHERE n = 13;

DROP MATERIALIZED VIEW made.totals;

DROP SCHEMA made CASCADE;

SELECT * FROM over;

BEGIN;

CREATE VIEW inside AS SELECT id FROM users WHERE country = 2;

SELECT count(*) FROM inside;

INSERT INTO inside VALUES (6010) RETURNING id;

ROLLBACK;

SELECT count(*) FROM inside;

CREATE VIEW activity AS SELECT datname FROM pg_database WHERE datname = 'template1';

SELECT * FROM activity;

CREATE VIEW classes AS SELECT relname FROM pg_class WHERE relname IN ('users', 'payments');

SELECT * FROM classes;

DROP VIEW richer, checked, activity, classes;

