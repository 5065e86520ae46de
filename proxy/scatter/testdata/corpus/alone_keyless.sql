INSERT INTO users SELECT;

INSERT INTO payments SELECT;

INSERT INTO payments SELECT FROM users WHERE country = 1;

INSERT INTO payments SELECT FROM users RETURNING id, user_id, n;

INSERT INTO payments SELECT WHERE false;

INSERT INTO payments (id) SELECT;

INSERT INTO payments (id, user_id) SELECT 1 WHERE false;

INSERT INTO users (id) SELECT '{}'::jsonb WHERE false;

INSERT INTO users (id) SELECT email FROM users WHERE false RETURNING id;

INSERT INTO payments DEFAULT VALUES;

INSERT INTO payments DEFAULT VALUES RETURNING *;

INSERT INTO users DEFAULT VALUES;

INSERT INTO payments VALUES (1), (2), (3) RETURNING id, user_id;

INSERT INTO payments (id, n) VALUES (1, 2), (3, 4) RETURNING *;

INSERT INTO payments (id, user_id) VALUES (1, DEFAULT), (2, 5), (3, NULL) RETURNING id, user_id;

INSERT INTO payments (id, n) SELECT id, country FROM users WHERE id < 100 RETURNING id, user_id, n;

INSERT INTO payments (id, user_id) VALUES (1);

INSERT INTO users VALUES (DEFAULT, 'x');

INSERT INTO payments (user_id, id) (SELECT id, 7 FROM users WHERE country IS NULL) RETURNING id, user_id;

INSERT INTO payments (user_id, id) (SELECT country, 7 FROM users WHERE id < 0) RETURNING id, user_id;

INSERT INTO payments (user_id, id) ((SELECT country, 7 FROM users) UNION (SELECT n, 8 FROM payments)) RETURNING id, user_id;

INSERT INTO payments (SELECT 4711, country FROM users);

INSERT INTO users (email) VALUES ('nobody') ON CONFLICT (id) DO NOTHING;

INSERT INTO payments (id) VALUES (1), (2) ON CONFLICT DO NOTHING;
