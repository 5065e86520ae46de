-- ordered
SELECT id FROM users UNION SELECT user_id FROM payments ORDER BY 1;

-- ordered
SELECT country FROM users UNION SELECT id FROM countries ORDER BY 1;

-- ordered
SELECT email FROM users UNION SELECT note FROM payments ORDER BY 1 LIMIT 4;

-- ordered
SELECT id FROM users WHERE id = 6 UNION SELECT user_id FROM payments WHERE user_id = 6 ORDER BY 1;

SELECT count(*) FROM (SELECT id FROM users UNION SELECT n FROM payments) x;

-- ordered
SELECT id FROM users UNION ALL SELECT user_id FROM payments ORDER BY 1;

-- ordered
SELECT country FROM users UNION ALL SELECT id FROM countries ORDER BY 1;

-- ordered
SELECT email FROM users UNION ALL SELECT note FROM payments ORDER BY 1 LIMIT 4;

-- ordered
SELECT id FROM users WHERE id = 6 UNION ALL SELECT user_id FROM payments WHERE user_id = 6 ORDER BY 1;

SELECT count(*) FROM (SELECT id FROM users UNION ALL SELECT n FROM payments) x;

-- ordered
SELECT id FROM users EXCEPT SELECT user_id FROM payments ORDER BY 1;

-- ordered
SELECT country FROM users EXCEPT SELECT id FROM countries ORDER BY 1;

-- ordered
SELECT email FROM users EXCEPT SELECT note FROM payments ORDER BY 1 LIMIT 4;

-- ordered
SELECT id FROM users WHERE id = 6 EXCEPT SELECT user_id FROM payments WHERE user_id = 6 ORDER BY 1;

SELECT count(*) FROM (SELECT id FROM users EXCEPT SELECT n FROM payments) x;

-- ordered
SELECT id FROM users INTERSECT SELECT user_id FROM payments ORDER BY 1;

-- ordered
SELECT country FROM users INTERSECT SELECT id FROM countries ORDER BY 1;

-- ordered
SELECT email FROM users INTERSECT SELECT note FROM payments ORDER BY 1 LIMIT 4;

-- ordered
SELECT id FROM users WHERE id = 6 INTERSECT SELECT user_id FROM payments WHERE user_id = 6 ORDER BY 1;

SELECT count(*) FROM (SELECT id FROM users INTERSECT SELECT n FROM payments) x;

-- ordered
SELECT id FROM users EXCEPT ALL SELECT user_id FROM payments ORDER BY 1;

-- ordered
SELECT country FROM users EXCEPT ALL SELECT id FROM countries ORDER BY 1;

-- ordered
SELECT email FROM users EXCEPT ALL SELECT note FROM payments ORDER BY 1 LIMIT 4;

-- ordered
SELECT id FROM users WHERE id = 6 EXCEPT ALL SELECT user_id FROM payments WHERE user_id = 6 ORDER BY 1;

SELECT count(*) FROM (SELECT id FROM users EXCEPT ALL SELECT n FROM payments) x;

-- ordered
SELECT id FROM users INTERSECT ALL SELECT user_id FROM payments ORDER BY 1;

-- ordered
SELECT country FROM users INTERSECT ALL SELECT id FROM countries ORDER BY 1;

-- ordered
SELECT email FROM users INTERSECT ALL SELECT note FROM payments ORDER BY 1 LIMIT 4;

-- ordered
SELECT id FROM users WHERE id = 6 INTERSECT ALL SELECT user_id FROM payments WHERE user_id = 6 ORDER BY 1;

SELECT count(*) FROM (SELECT id FROM users INTERSECT ALL SELECT n FROM payments) x;

-- ordered
(SELECT id FROM users ORDER BY id LIMIT 3) UNION ALL (SELECT id FROM users ORDER BY id DESC LIMIT 3) ORDER BY 1;

VALUES (1), (2);

SELECT 1 UNION SELECT 2 EXCEPT SELECT 1;

-- ordered
SELECT id, 'u' AS k FROM users UNION ALL SELECT id, 'c' FROM countries ORDER BY 2, 1;

