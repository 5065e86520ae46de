BEGIN;

INSERT INTO users (id, email) VALUES (5001, 'a'), (5002, 'b'), (5003, 'c');

SELECT count(*) FROM users WHERE id > 5000;

SAVEPOINT a;

INSERT INTO users (id, email) VALUES (5004, 'd'), (5005, 'e');

SELECT count(*) FROM users WHERE id > 5000;

ROLLBACK TO a;

SELECT count(*) FROM users WHERE id > 5000;

SAVEPOINT b;

INSERT INTO users (id) VALUES (5001);

SELECT 1;

ROLLBACK TO SAVEPOINT b;

INSERT INTO users (id) VALUES (5006);

RELEASE b;

RELEASE nosuch;

SELECT 1;

ROLLBACK;

SELECT count(*) FROM users WHERE id > 5000;

BEGIN ISOLATION LEVEL REPEATABLE READ;

SELECT count(*) FROM users;

UPDATE users SET email = 't' WHERE country = 2;

COMMIT;

SELECT count(*) FROM users WHERE email = 't';

START TRANSACTION READ ONLY;

SELECT count(*) FROM users;

SELECT country, count(DISTINCT email) FROM users GROUP BY country;

INSERT INTO users (id) VALUES (5007);

COMMIT;

COMMIT;

ROLLBACK;

BEGIN;

BEGIN;

SELECT 1/0;

SELECT 1;

COMMIT;

BEGIN;

INSERT INTO users (id) VALUES (5008);

COMMIT AND CHAIN;

INSERT INTO users (id) VALUES (5009);

ROLLBACK AND CHAIN;

SELECT count(*) FROM users WHERE id > 5000;

END;

ABORT;

SAVEPOINT x;

BEGIN ISOLATION LEVEL NONSENSE;

BEGIN;

SET LOCAL search_path = pg_catalog;

SHOW search_path;

COMMIT;

SHOW search_path;

BEGIN;

SET statement_timeout = '10s';

ROLLBACK;

SHOW statement_timeout;

SET statement_timeout = '20s';

SHOW statement_timeout;

RESET statement_timeout;

SHOW statement_timeout;

BEGIN;

DELETE FROM users WHERE id > 5000;

SELECT count(*) FROM users WHERE id > 5000;

ROLLBACK;

SELECT count(*) FROM users WHERE id > 5000;

DELETE FROM users WHERE id > 5000;

