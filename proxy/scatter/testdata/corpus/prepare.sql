PREPARE p1 AS SELECT email FROM users WHERE id = $1;

EXECUTE p1 (6);

EXECUTE p1 (13);

EXECUTE p1;

EXECUTE p1 (1, 2);

PREPARE p1 AS SELECT 1;

PREPARE p2 (bigint, int) AS SELECT id FROM users WHERE id > $1 ORDER BY id LIMIT $2;

-- ordered
EXECUTE p2 (0, 4);

-- ordered
EXECUTE p2 (-10, 2 + 1);

PREPARE p3 AS INSERT INTO users (id, email) VALUES ($1, 'p'), ($2, 'q');

EXECUTE p3 (6001, 6002);

EXECUTE p3 (6003, 6004);

SELECT count(*) FROM users WHERE id > 6000;

PREPARE p4 AS SELECT country, count(*) FROM users WHERE id > $1 GROUP BY country HAVING count(*) > $2 ORDER BY country;

-- ordered
EXECUTE p4 (0, 1);

EXECUTE p4 ('x', 1);

DEALLOCATE p1;

EXECUTE p1 (6);

DEALLOCATE nosuch;

DEALLOCATE ALL;

EXECUTE p2 (1, 1);

DELETE FROM users WHERE id > 6000;

PREPARE bad AS SELEKT;

PREPARE p5 AS SELECT count(*) FROM countries WHERE id < $1;

EXECUTE p5 (3);

DISCARD PLANS;

