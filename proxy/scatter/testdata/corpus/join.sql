SELECT u.id, p.id FROM users u JOIN payments p ON p.user_id = u.id;

SELECT u.id, c.name FROM users u JOIN countries c ON c.id = u.country;

SELECT u.id, p.n FROM users u JOIN payments p ON p.user_id = u.id AND p.n > 2 WHERE u.country IS NOT NULL;

SELECT c.id, p.id FROM countries c JOIN payments p ON p.n = c.id;

-- ordered
SELECT u.email, p.note FROM users u JOIN payments p ON p.n = u.country ORDER BY u.id, p.id;

SELECT count(*) FROM users u JOIN payments p USING (id);

SELECT a.id, b.id FROM users a JOIN users b ON a.id = b.id;

SELECT a.id, b.id FROM users a JOIN users b ON a.country = b.id;

SELECT u.id, p.id FROM users u LEFT JOIN payments p ON p.user_id = u.id;

SELECT u.id, c.name FROM users u LEFT JOIN countries c ON c.id = u.country;

SELECT u.id, p.n FROM users u LEFT JOIN payments p ON p.user_id = u.id AND p.n > 2 WHERE u.country IS NOT NULL;

SELECT c.id, p.id FROM countries c LEFT JOIN payments p ON p.n = c.id;

-- ordered
SELECT u.email, p.note FROM users u LEFT JOIN payments p ON p.n = u.country ORDER BY u.id, p.id;

SELECT count(*) FROM users u LEFT JOIN payments p USING (id);

SELECT a.id, b.id FROM users a LEFT JOIN users b ON a.id = b.id;

SELECT a.id, b.id FROM users a LEFT JOIN users b ON a.country = b.id;

SELECT u.id, p.id FROM users u RIGHT JOIN payments p ON p.user_id = u.id;

SELECT u.id, c.name FROM users u RIGHT JOIN countries c ON c.id = u.country;

SELECT u.id, p.n FROM users u RIGHT JOIN payments p ON p.user_id = u.id AND p.n > 2 WHERE u.country IS NOT NULL;

SELECT c.id, p.id FROM countries c RIGHT JOIN payments p ON p.n = c.id;

-- ordered
SELECT u.email, p.note FROM users u RIGHT JOIN payments p ON p.n = u.country ORDER BY u.id, p.id;

SELECT count(*) FROM users u RIGHT JOIN payments p USING (id);

SELECT a.id, b.id FROM users a RIGHT JOIN users b ON a.id = b.id;

SELECT a.id, b.id FROM users a RIGHT JOIN users b ON a.country = b.id;

SELECT u.id, p.id FROM users u FULL JOIN payments p ON p.user_id = u.id;

SELECT u.id, c.name FROM users u FULL JOIN countries c ON c.id = u.country;

SELECT u.id, p.n FROM users u FULL JOIN payments p ON p.user_id = u.id AND p.n > 2 WHERE u.country IS NOT NULL;

SELECT c.id, p.id FROM countries c FULL JOIN payments p ON p.n = c.id;

-- ordered
SELECT u.email, p.note FROM users u FULL JOIN payments p ON p.n = u.country ORDER BY u.id, p.id;

SELECT count(*) FROM users u FULL JOIN payments p USING (id);

SELECT a.id, b.id FROM users a FULL JOIN users b ON a.id = b.id;

SELECT a.id, b.id FROM users a FULL JOIN users b ON a.country = b.id;

SELECT u.id FROM users u, payments p WHERE p.user_id = u.id AND p.n = 3;

SELECT count(*) FROM users u CROSS JOIN countries c;

SELECT count(*) FROM users, payments;

SELECT u.id, x.s FROM users u, LATERAL (SELECT sum(amount) AS s FROM payments p WHERE p.user_id = u.id) x;

SELECT u.id FROM users u NATURAL JOIN payments p;

-- ordered
SELECT u.id, l.id FROM users u CROSS JOIN LATERAL (SELECT id FROM payments p WHERE p.user_id = u.id ORDER BY id LIMIT 1) l ORDER BY 1;

SELECT u.id, p.id, c.id FROM users u JOIN payments p ON p.user_id = u.id JOIN countries c ON c.id = p.n WHERE u.id = 6;

