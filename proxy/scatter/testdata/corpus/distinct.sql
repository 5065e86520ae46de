SELECT DISTINCT country FROM users;

-- ordered
SELECT DISTINCT country FROM users ORDER BY 1;

-- ordered
SELECT DISTINCT country FROM users ORDER BY 1 DESC NULLS LAST LIMIT 3;

SELECT DISTINCT email FROM users;

-- ordered
SELECT DISTINCT email FROM users ORDER BY 1;

-- ordered
SELECT DISTINCT email FROM users ORDER BY 1 DESC NULLS LAST LIMIT 3;

SELECT DISTINCT code FROM users;

-- ordered
SELECT DISTINCT code FROM users ORDER BY 1;

-- ordered
SELECT DISTINCT code FROM users ORDER BY 1 DESC NULLS LAST LIMIT 3;

SELECT DISTINCT country, code FROM users;

-- ordered
SELECT DISTINCT country, code FROM users ORDER BY 1, 2;

SELECT DISTINCT country, code, id FROM users;

SELECT DISTINCT country % 3 FROM users;

-- ordered
SELECT DISTINCT country % 3 FROM users ORDER BY 1;

-- ordered
SELECT DISTINCT country % 3 FROM users ORDER BY 1 DESC NULLS LAST LIMIT 3;

SELECT DISTINCT lower(email) FROM users;

-- ordered
SELECT DISTINCT lower(email) FROM users ORDER BY 1;

-- ordered
SELECT DISTINCT lower(email) FROM users ORDER BY 1 DESC NULLS LAST LIMIT 3;

SELECT DISTINCT score > 20 FROM users;

-- ordered
SELECT DISTINCT score > 20 FROM users ORDER BY 1;

-- ordered
SELECT DISTINCT score > 20 FROM users ORDER BY 1 DESC NULLS LAST LIMIT 3;

SELECT DISTINCT country IS NULL FROM users;

-- ordered
SELECT DISTINCT country IS NULL FROM users ORDER BY 1;

-- ordered
SELECT DISTINCT country IS NULL FROM users ORDER BY 1 DESC NULLS LAST LIMIT 3;

-- ordered
SELECT DISTINCT ON (country) country, id, score FROM users ORDER BY country, id;

-- ordered
SELECT DISTINCT ON (country) id FROM users ORDER BY country DESC, score, id;

-- ordered
SELECT DISTINCT ON (country) country, id FROM users ORDER BY country NULLS FIRST, id DESC LIMIT 2 OFFSET 1;

-- ordered
SELECT DISTINCT ON (email) email, id, score FROM users ORDER BY email, id;

-- ordered
SELECT DISTINCT ON (email) id FROM users ORDER BY email DESC, score, id;

-- ordered
SELECT DISTINCT ON (email) email, id FROM users ORDER BY email NULLS FIRST, id DESC LIMIT 2 OFFSET 1;

-- ordered
SELECT DISTINCT ON (code) code, id, score FROM users ORDER BY code, id;

-- ordered
SELECT DISTINCT ON (code) id FROM users ORDER BY code DESC, score, id;

-- ordered
SELECT DISTINCT ON (code) code, id FROM users ORDER BY code NULLS FIRST, id DESC LIMIT 2 OFFSET 1;

SELECT DISTINCT * FROM users;

SELECT DISTINCT id FROM users;

SELECT DISTINCT user_id FROM payments;

-- ordered
SELECT DISTINCT user_id, n FROM payments ORDER BY user_id, n;

SELECT DISTINCT u.country FROM users u JOIN payments p ON p.user_id = u.id;

SELECT count(*) FROM (SELECT DISTINCT country FROM users) x;

SELECT DISTINCT c.name FROM countries c JOIN users u ON u.country = c.id;

SELECT DISTINCT ON (country) id FROM users ORDER BY id;

