SELECT id, email, country FROM users WHERE id = 6;

SELECT count(*), min(id) FROM users WHERE id = 6;

SELECT id, email, country FROM users WHERE id = -50 OR id = 6;

SELECT count(*), min(id) FROM users WHERE id = -50 OR id = 6;

SELECT id, email, country FROM users WHERE id IN (6, 13, 20);

SELECT count(*), min(id) FROM users WHERE id IN (6, 13, 20);

SELECT id, email, country FROM users WHERE id IN (6, 13) AND country > 1;

SELECT count(*), min(id) FROM users WHERE id IN (6, 13) AND country > 1;

SELECT id, email, country FROM users WHERE id = ANY ('{6,13}');

SELECT count(*), min(id) FROM users WHERE id = ANY ('{6,13}');

SELECT id, email, country FROM users WHERE id = ANY (ARRAY[6, 20]);

SELECT count(*), min(id) FROM users WHERE id = ANY (ARRAY[6, 20]);

SELECT id, email, country FROM users WHERE id > 100;

SELECT count(*), min(id) FROM users WHERE id > 100;

SELECT id, email, country FROM users WHERE id BETWEEN 0 AND 50;

SELECT count(*), min(id) FROM users WHERE id BETWEEN 0 AND 50;

SELECT id, email, country FROM users WHERE NOT id = 6;

SELECT count(*), min(id) FROM users WHERE NOT id = 6;

SELECT id, email, country FROM users WHERE id <> 6;

SELECT count(*), min(id) FROM users WHERE id <> 6;

SELECT id, email, country FROM users WHERE id = NULL;

SELECT count(*), min(id) FROM users WHERE id = NULL;

SELECT id, email, country FROM users WHERE id IS NULL;

SELECT count(*), min(id) FROM users WHERE id IS NULL;

SELECT id, email, country FROM users WHERE id = 6 AND id = 13;

SELECT count(*), min(id) FROM users WHERE id = 6 AND id = 13;

SELECT id, email, country FROM users WHERE id = 6.0;

SELECT count(*), min(id) FROM users WHERE id = 6.0;

SELECT id, email, country FROM users WHERE id = 6.5;

SELECT count(*), min(id) FROM users WHERE id = 6.5;

SELECT id, email, country FROM users WHERE id = '6';

SELECT count(*), min(id) FROM users WHERE id = '6';

SELECT id, email, country FROM users WHERE id = 6::smallint;

SELECT count(*), min(id) FROM users WHERE id = 6::smallint;

SELECT id, email, country FROM users WHERE 6 = id;

SELECT count(*), min(id) FROM users WHERE 6 = id;

SELECT id, email, country FROM users WHERE (id, country) = (6, 1);

SELECT count(*), min(id) FROM users WHERE (id, country) = (6, 1);

SELECT id, email, country FROM users WHERE (id) IN (VALUES (6), (13));

SELECT count(*), min(id) FROM users WHERE (id) IN (VALUES (6), (13));

SELECT id, email, country FROM users WHERE id = (SELECT 6);

SELECT count(*), min(id) FROM users WHERE id = (SELECT 6);

SELECT id, email, country FROM users WHERE id IN (SELECT user_id FROM payments WHERE n = 3);

SELECT count(*), min(id) FROM users WHERE id IN (SELECT user_id FROM payments WHERE n = 3);

SELECT id, email, country FROM users WHERE id NOT IN (SELECT user_id FROM payments);

SELECT count(*), min(id) FROM users WHERE id NOT IN (SELECT user_id FROM payments);

SELECT id, email, country FROM users WHERE EXISTS (SELECT FROM payments p WHERE p.user_id = users.id);

SELECT count(*), min(id) FROM users WHERE EXISTS (SELECT FROM payments p WHERE p.user_id = users.id);

SELECT id, email, country FROM users WHERE NOT EXISTS (SELECT FROM payments p WHERE p.user_id = users.id AND p.n > 1);

SELECT count(*), min(id) FROM users WHERE NOT EXISTS (SELECT FROM payments p WHERE p.user_id = users.id AND p.n > 1);

SELECT id, email, country FROM users WHERE country IN (SELECT id FROM countries WHERE name > 'D');

SELECT count(*), min(id) FROM users WHERE country IN (SELECT id FROM countries WHERE name > 'D');

SELECT id, email, country FROM users WHERE score > (SELECT avg(score) FROM users);

SELECT count(*), min(id) FROM users WHERE score > (SELECT avg(score) FROM users);

SELECT id, email, country FROM users WHERE email LIKE 'a%';

SELECT count(*), min(id) FROM users WHERE email LIKE 'a%';

SELECT id, email, country FROM users WHERE email ~ '^[A-Z]';

SELECT count(*), min(id) FROM users WHERE email ~ '^[A-Z]';

SELECT id, email, country FROM users WHERE country IS DISTINCT FROM 3;

SELECT count(*), min(id) FROM users WHERE country IS DISTINCT FROM 3;

SELECT id, email, country FROM users WHERE id = 6 IS TRUE;

SELECT count(*), min(id) FROM users WHERE id = 6 IS TRUE;

SELECT id, email, country FROM users WHERE id % 2 = 0 AND id = 6;

SELECT count(*), min(id) FROM users WHERE id % 2 = 0 AND id = 6;

SELECT id, email, country FROM users WHERE true;

SELECT count(*), min(id) FROM users WHERE true;

SELECT id, email, country FROM users WHERE false;

SELECT count(*), min(id) FROM users WHERE false;

SELECT id, email, country FROM users WHERE id = -(-6);

SELECT count(*), min(id) FROM users WHERE id = -(-6);

SELECT id, email, country FROM users WHERE id = 3 + 3;

SELECT count(*), min(id) FROM users WHERE id = 3 + 3;

SELECT id, email, country FROM users WHERE email = code;

SELECT count(*), min(id) FROM users WHERE email = code;

SELECT id, email, country FROM users WHERE id = country;

SELECT count(*), min(id) FROM users WHERE id = country;

