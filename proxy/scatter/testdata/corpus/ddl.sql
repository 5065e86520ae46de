CREATE TABLE extra (id bigint, v text);

INSERT INTO extra VALUES (1, 'one');

SELECT * FROM extra;

ALTER TABLE extra ADD COLUMN w int DEFAULT 7;

SELECT * FROM extra;

CREATE INDEX ON users (email);

CREATE TABLE extra (id int);

ALTER TABLE users ADD COLUMN note text;

UPDATE users SET note = email WHERE country = 1;

SELECT count(note) FROM users;

ALTER TABLE users DROP COLUMN note;

CREATE VIEW cv AS SELECT id FROM countries;

DROP VIEW cv;

DROP TABLE extra;

DROP TABLE extra;

BEGIN;

CREATE TABLE tx (id int PRIMARY KEY);

INSERT INTO tx VALUES (1), (2);

SELECT count(*) FROM tx;

ROLLBACK;

SELECT count(*) FROM tx;

CREATE SCHEMA sc;

CREATE TABLE sc.t (a int);

INSERT INTO sc.t VALUES (1);

SET search_path = sc, public;

SELECT a FROM t;

RESET search_path;

DROP SCHEMA sc CASCADE;

CREATE TYPE mood AS ENUM ('sad', 'happy');

ALTER TABLE users ADD COLUMN m mood;

UPDATE users SET m = 'sad' WHERE id > 20;

-- ordered
SELECT m, count(*) FROM users GROUP BY m ORDER BY m;

ALTER TABLE users DROP COLUMN m;

DROP TYPE mood;

ANALYZE users;

VACUUM countries;

COMMENT ON TABLE users IS 'x';

CREATE TABLE IF NOT EXISTS countries (x int);

GRANT SELECT ON users TO PUBLIC;

LOCK TABLE users;

DO $$BEGIN NULL; END$$;

CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';

SELECT twice(4);

SELECT sum(twice(country)) FROM users;

DROP FUNCTION twice(int);

REINDEX TABLE users;

CREATE INDEX CONCURRENTLY ci ON users (code);

DROP INDEX CONCURRENTLY ci;

CREATE TEMP TABLE tt (id int, x text);

INSERT INTO tt VALUES (1, 'a'), (2, 'b');

-- ordered
SELECT * FROM tt ORDER BY id;

DROP TABLE tt;

