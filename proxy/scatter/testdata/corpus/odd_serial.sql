CREATE TABLE ser (id serial PRIMARY KEY, v text, g int GENERATED ALWAYS AS (length(v)) STORED, n numeric DEFAULT 1.5, at timestamptz DEFAULT now());

INSERT INTO ser (v) VALUES ('a'), ('bb') RETURNING id, v;

INSERT INTO ser (v) VALUES ('c') RETURNING id, v, g, id * 2 AS twice, n::float8, at > '2000-01-01' AS new;

INSERT INTO ser (v, n) SELECT name, id FROM countries WHERE name IS NOT NULL ORDER BY id RETURNING id, upper(v), n;

INSERT INTO ser AS s DEFAULT VALUES RETURNING s.id, (SELECT count(*) FROM countries), s.v IS NULL;

INSERT INTO ser (v) SELECT 'never' WHERE false RETURNING id, n;

INSERT INTO ser (v) VALUES ('d');

INSERT INTO ser (id, v) VALUES (1, 'dup') RETURNING id;

SELECT id, v, g, n FROM ser;

UPDATE ser SET v = v || '!' WHERE id < 3 RETURNING id, v, g;

DELETE FROM ser WHERE id = 3 RETURNING at > '2000-01-01';

SELECT id, v, g, n FROM ser;

DROP TABLE ser;
