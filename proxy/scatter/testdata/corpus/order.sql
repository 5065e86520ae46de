-- ordered
SELECT id, email FROM users ORDER BY id;

-- ordered
SELECT id, email FROM users ORDER BY id DESC;

-- ordered
SELECT id, email FROM users ORDER BY email, id;

-- ordered
SELECT id, email FROM users ORDER BY email DESC, id;

-- ordered
SELECT id, email FROM users ORDER BY email NULLS FIRST, id;

-- ordered
SELECT id, email FROM users ORDER BY email DESC NULLS LAST, id DESC;

-- ordered
SELECT id, email FROM users ORDER BY country, id;

-- ordered
SELECT id, email FROM users ORDER BY country DESC NULLS LAST, id;

-- ordered
SELECT id, email FROM users ORDER BY score, id;

-- ordered
SELECT id, email FROM users ORDER BY score DESC, id;

-- ordered
SELECT id, email FROM users ORDER BY code, id;

-- ordered
SELECT id, email FROM users ORDER BY code DESC NULLS LAST, id;

-- ordered
SELECT id, email FROM users ORDER BY lower(email), id;

-- ordered
SELECT id, email FROM users ORDER BY length(email) DESC, id;

-- ordered
SELECT id, email FROM users ORDER BY country + 1, id;

-- ordered
SELECT id, email FROM users ORDER BY coalesce(country, -1), id;

-- ordered
SELECT id, email FROM users ORDER BY -score, id;

-- ordered
SELECT id, email FROM users ORDER BY email COLLATE "C", id;

-- ordered
SELECT id, email FROM users ORDER BY email COLLATE "C" DESC, id;

-- ordered
SELECT id, email FROM users ORDER BY email COLLATE "und-x-icu", id;

-- ordered
SELECT id, email FROM users ORDER BY code COLLATE "und-x-icu" DESC, id;

-- ordered
SELECT id, email FROM users ORDER BY (country, id);

-- ordered
SELECT id, email FROM users ORDER BY country IS NULL, id;

-- ordered
SELECT id, email FROM users ORDER BY CASE WHEN country > 2 THEN email ELSE code END, id;

-- ordered
SELECT id, email FROM users ORDER BY id % 7, id;

-- ordered
SELECT id, email FROM users ORDER BY abs(id), id;

-- ordered
SELECT id, email FROM users ORDER BY 2 DESC, 1;

-- ordered
SELECT id, email FROM users ORDER BY score::int, id;

-- ordered
SELECT id, email FROM users ORDER BY email || coalesce(code, ''), id;

-- ordered
SELECT id FROM users ORDER BY id LIMIT 5;

-- ordered
SELECT email, country FROM users ORDER BY score DESC, id LIMIT 5;

-- ordered
SELECT id FROM users ORDER BY id LIMIT 5 OFFSET 3;

-- ordered
SELECT email, country FROM users ORDER BY score DESC, id LIMIT 5 OFFSET 3;

-- ordered
SELECT id FROM users ORDER BY id OFFSET 50;

-- ordered
SELECT email, country FROM users ORDER BY score DESC, id OFFSET 50;

-- ordered
SELECT id FROM users ORDER BY id LIMIT 0;

-- ordered
SELECT email, country FROM users ORDER BY score DESC, id LIMIT 0;

-- ordered
SELECT id FROM users ORDER BY id LIMIT ALL OFFSET 2;

-- ordered
SELECT email, country FROM users ORDER BY score DESC, id LIMIT ALL OFFSET 2;

-- ordered
SELECT id FROM users ORDER BY id FETCH FIRST 3 ROWS ONLY;

-- ordered
SELECT email, country FROM users ORDER BY score DESC, id FETCH FIRST 3 ROWS ONLY;

-- ordered
SELECT id FROM users ORDER BY id OFFSET 4 ROWS FETCH NEXT 2 ROWS ONLY;

-- ordered
SELECT email, country FROM users ORDER BY score DESC, id OFFSET 4 ROWS FETCH NEXT 2 ROWS ONLY;

-- ordered
SELECT id FROM users ORDER BY id LIMIT 1000;

-- ordered
SELECT email, country FROM users ORDER BY score DESC, id LIMIT 1000;

-- ordered
SELECT id FROM users ORDER BY id LIMIT NULL;

-- ordered
SELECT email, country FROM users ORDER BY score DESC, id LIMIT NULL;

-- ordered
SELECT id FROM users ORDER BY id OFFSET NULL;

-- ordered
SELECT email, country FROM users ORDER BY score DESC, id OFFSET NULL;

-- ordered
SELECT id FROM users ORDER BY id LIMIT 2 + 3;

-- ordered
SELECT email, country FROM users ORDER BY score DESC, id LIMIT 2 + 3;

-- ordered
SELECT id FROM users ORDER BY id LIMIT (SELECT 4);

-- ordered
SELECT email, country FROM users ORDER BY score DESC, id LIMIT (SELECT 4);

-- ordered
SELECT id FROM users ORDER BY country, id FETCH FIRST 4 ROWS WITH TIES;

-- ordered
SELECT country FROM users ORDER BY country FETCH FIRST 4 ROWS WITH TIES;

-- ordered
SELECT * FROM users ORDER BY id;

-- ordered
SELECT u.*, id + 1 FROM users u ORDER BY u.id DESC;

-- ordered
SELECT amount FROM payments ORDER BY amount, id;

-- ordered
SELECT f, id FROM payments ORDER BY f DESC, id LIMIT 20;

-- ordered
SELECT id AS x, email AS y FROM users ORDER BY y, x;

-- ordered
SELECT id FROM users ORDER BY email USING <, id;

-- ordered
SELECT id, amount::text FROM payments ORDER BY amount::text, id;

-- ordered
TABLE users ORDER BY id;

-- ordered
SELECT note, n FROM payments ORDER BY note NULLS FIRST, n DESC NULLS LAST, id;

-- ordered
SELECT ARRAY[country, 1], id FROM users ORDER BY 1, 2;

-- ordered
SELECT row_to_json(u) FROM users u ORDER BY id LIMIT 3;

SELECT id FROM users LIMIT -1;

SELECT id FROM users OFFSET -1;

SELECT id FROM users ORDER BY nosuch;

SELECT id FROM users ORDER BY 3;

SELECT email FROM users ORDER BY id, 99;

