MERGE INTO users u USING payments p ON p.user_id = u.id WHEN MATCHED THEN DO NOTHING WHEN NOT MATCHED BY SOURCE THEN DELETE;

MERGE INTO users u USING (SELECT DISTINCT n FROM payments) p ON p.n = u.country WHEN MATCHED THEN UPDATE SET email = 'm' || p.n WHEN NOT MATCHED BY SOURCE THEN UPDATE SET email = 'none';

MERGE INTO users u USING (SELECT DISTINCT user_id + 1 AS k FROM payments) p ON p.k = u.id WHEN MATCHED THEN DO NOTHING WHEN NOT MATCHED BY SOURCE AND u.id > 10 THEN DELETE WHEN NOT MATCHED THEN INSERT (id, email) VALUES (p.k, 'new');

MERGE INTO users u USING countries c ON c.id = u.country WHEN MATCHED THEN DO NOTHING WHEN NOT MATCHED BY SOURCE THEN DELETE WHEN NOT MATCHED BY TARGET THEN INSERT (id, email) VALUES (c.id + 1000, c.name);

MERGE INTO users u USING (SELECT * FROM countries WHERE false) c ON c.id = u.country WHEN NOT MATCHED BY SOURCE THEN DELETE;

MERGE INTO payments p USING users u ON u.email = p.note AND u.id < 0 WHEN NOT MATCHED BY SOURCE AND p.n = 1 THEN DELETE WHEN NOT MATCHED THEN INSERT (id, user_id) VALUES (u.id, u.country);

MERGE INTO users u USING (SELECT DISTINCT n FROM payments) p ON p.n = u.country WHEN MATCHED THEN UPDATE SET id = u.id + 1000 WHEN NOT MATCHED BY SOURCE THEN DELETE;

MERGE INTO users u USING (SELECT * FROM payments WHERE id < 10) p ON u.email = 'e' || p.id WHEN MATCHED THEN UPDATE SET email = 'm' WHEN NOT MATCHED BY SOURCE AND u.id < 9 THEN DELETE WHEN NOT MATCHED THEN INSERT (id, email) VALUES (p.id + 5000, 'n');

MERGE INTO users u USING (SELECT id, n FROM payments WHERE id < 10) p ON u.country = p.n WHEN MATCHED AND u.id < 6 THEN DELETE WHEN NOT MATCHED BY SOURCE AND u.id < 50 THEN UPDATE SET email = 'lost' WHEN NOT MATCHED THEN INSERT (id, email) VALUES (p.id + 5000, to_jsonb(p)::text);

MERGE INTO users u USING (VALUES (1), (77)) v(x) ON u.country = v.x WHEN NOT MATCHED BY SOURCE AND id > 20 THEN DELETE WHEN MATCHED AND u.id > 10 THEN DELETE WHEN NOT MATCHED BY TARGET THEN INSERT (id) VALUES (4000 + v.x);

MERGE INTO users u USING (VALUES (1), (77)) v(x) ON u.country = v.x WHEN MATCHED AND u.id > 10 THEN UPDATE SET email = u.email || x WHEN NOT MATCHED BY SOURCE THEN UPDATE SET email = 'lost' WHEN NOT MATCHED AND x < 50 THEN DO NOTHING WHEN NOT MATCHED THEN INSERT (id) VALUES (4000 + v.x);

MERGE INTO users u USING (SELECT n FROM payments WHERE false) v(x) ON u.country = v.x WHEN MATCHED THEN DELETE WHEN NOT MATCHED BY SOURCE AND u.id < 5 THEN DELETE WHEN NOT MATCHED THEN INSERT (id) VALUES (4000 + v.x);

MERGE INTO users u USING (VALUES (1), (1)) v(x) ON u.country = v.x WHEN MATCHED THEN UPDATE SET email = 'twice' WHEN NOT MATCHED BY SOURCE AND false THEN DELETE WHEN NOT MATCHED THEN INSERT (id) VALUES (4000 + v.x);

MERGE INTO users u USING (VALUES (1, 'm'), (800, 'n')) v(id, e) ON u.id = v.id WHEN MATCHED THEN UPDATE SET email = v.e WHEN NOT MATCHED THEN INSERT (id, email) VALUES (v.id, v.e) RETURNING merge_action(), u.id, u.email, v.e;

MERGE INTO payments p USING users u ON p.user_id = u.id WHEN NOT MATCHED BY SOURCE THEN DELETE RETURNING merge_action(), p.id;

SELECT JSON_ARRAY(SELECT id FROM users ORDER BY id);

SELECT c.id, JSON_ARRAY(SELECT u.id FROM users u WHERE u.country = c.id ORDER BY u.id) FROM countries c WHERE c.id < 4;

SELECT u.id, JSON_ARRAY(SELECT p.id FROM payments p WHERE p.user_id = u.id ORDER BY p.id) FROM users u WHERE u.id < 6;

SELECT JSON_ARRAYAGG(id ORDER BY id) FROM users;

SELECT JSON_ARRAYAGG(id ORDER BY id) FILTER (WHERE id < 5), count(*) FROM users;

SELECT JSON_ARRAYAGG(email ORDER BY id ABSENT ON NULL RETURNING text) FROM users;

SELECT country, JSON_ARRAYAGG(id ORDER BY id NULL ON NULL RETURNING jsonb) FROM users GROUP BY country;

SELECT user_id, JSON_ARRAYAGG(id ORDER BY id) FROM payments GROUP BY user_id;

SELECT JSON_OBJECTAGG(id : email RETURNING jsonb) FROM users WHERE id < 9;

SELECT JSON_OBJECTAGG(KEY id VALUE email ABSENT ON NULL WITH UNIQUE KEYS RETURNING jsonb) FROM users;

SELECT id FROM users WHERE id < 9 GROUP BY id HAVING JSON_ARRAYAGG(id)::text = '[3]';

SELECT length(JSON_ARRAYAGG(id ORDER BY id)::text) FROM users WHERE id < 30;

SELECT id, JSON_ARRAYAGG(id) OVER (PARTITION BY id) FROM users WHERE id < 5;

SELECT id, JSON_ARRAYAGG(id) OVER (ORDER BY id) FROM users WHERE id < 5;

SELECT (SELECT JSON_ARRAYAGG(p.id ORDER BY p.id) FROM payments p WHERE p.user_id = u.id) FROM users u WHERE u.id < 9;

SELECT JSON_OBJECT('most' : max(id), 'all' : JSON_ARRAY(min(id), max(id))) FROM users;

SELECT j.a FROM JSON_TABLE((SELECT jsonb_agg(id) FROM users), '$[*]' COLUMNS (a int PATH '$')) j;

SELECT JSON_QUERY(jsonb_agg(id ORDER BY id), '$[0]'), JSON_EXISTS(jsonb_agg(id), '$[5]') FROM users;

INSERT INTO users (id, email) SELECT 9000, JSON_ARRAYAGG(id ORDER BY id)::text FROM users;

UPDATE users SET email = 'n' WHERE id < 6 RETURNING old.email, new.email, id;

DELETE FROM users WHERE id < 6 RETURNING old.email, new.id;

UPDATE users SET id = id + 1000 WHERE id < 6 RETURNING new.id;

MERGE INTO users u USING countries c ON u.country = c.id WHEN NOT MATCHED BY SOURCE THEN DELETE WHEN NOT MATCHED THEN INSERT (id) VALUES (c.id + 7000) RETURNING c, u.id;

SELECT current_catalog = 'x', current_user IS NULL, user IS NULL, current_date IS NULL, count(*) FROM users;

SELECT JSON_SCALAR(max(id)), JSON_SERIALIZE(json_agg(id ORDER BY id)), JSON_VALUE(to_jsonb(max(id)), '$'), json_agg(id ORDER BY id) IS JSON FROM users;

SELECT xmlforest(max(id) AS m)::text, xmlserialize(content xmlagg(xmlelement(name x, id) ORDER BY id) AS text) FROM users WHERE id < 4;

SELECT session_user, count(*) FROM users GROUP BY 1;

SELECT x.json_arrayagg, x.json_array FROM (SELECT JSON_ARRAYAGG(id ORDER BY id), JSON_ARRAY(max(id)) FROM users) x;

UPDATE users SET email = 'r' WHERE id < 10 RETURNING WITH (OLD AS o) o.email, id;

UPDATE users SET email = 'r' WHERE id = 6 RETURNING WITH (OLD AS o, NEW AS n) o.email, n.email, id;

DELETE FROM users WHERE id < 10 RETURNING WITH (NEW AS n) old.id, n.id;

INSERT INTO users (id, email) VALUES (9001, 'a'), (9002, 'b'), (9003, 'c') RETURNING WITH (OLD AS "O", NEW AS n) "O".id, n.id, n.email;

WITH d AS (DELETE FROM payments WHERE n = 3 RETURNING WITH (OLD AS o) o.id, o.user_id) SELECT count(*), sum(id) FROM d;

UPDATE users SET id = id + 1000 WHERE id < 10 RETURNING WITH (NEW AS n) n.id, n.email, users.id;

UPDATE users SET id = id + 1000 WHERE id < 10 RETURNING old;

UPDATE users SET id = id + 1000 WHERE id < 10 RETURNING new.id;

UPDATE countries SET name = 'r' WHERE id = 1 RETURNING WITH (OLD AS o, NEW AS n) o.name, n.name, n;

INSERT INTO users (id, email) SELECT id + 5000, note FROM payments RETURNING WITH (OLD AS o) o.id, id;

MERGE INTO users u USING payments p ON u.id = p.user_id AND p.id < 20 WHEN MATCHED THEN UPDATE SET email = p.note RETURNING WITH (OLD AS o) merge_action(), o.email, p.id;

MERGE INTO users u USING (VALUES (1), (77)) v(x) ON u.country = v.x WHEN MATCHED THEN UPDATE SET email = 'm' WHEN NOT MATCHED THEN INSERT (id, email) VALUES (4000 + v.x, 'n') RETURNING *;

MERGE INTO users u USING (VALUES (1), (77)) v(x) ON u.country = v.x WHEN MATCHED THEN UPDATE SET email = 'm' WHEN NOT MATCHED THEN INSERT (id, email) VALUES (4000 + v.x, 'n') RETURNING merge_action(), old.email, new.email, u.id, v.*, lower(merge_action()) AS l;

MERGE INTO users u USING (VALUES (1), (77)) v(x) ON u.country = v.x WHEN MATCHED AND u.id < 20 THEN DELETE WHEN NOT MATCHED BY SOURCE AND u.id < 10 THEN UPDATE SET email = 'lost' WHEN NOT MATCHED THEN INSERT (id) VALUES (4000 + v.x) RETURNING merge_action(), old, new, v.x IS NULL, v.*, u.id;

MERGE INTO users u USING generate_series(1, 2) g ON u.country = g WHEN NOT MATCHED BY SOURCE AND u.id < 10 THEN UPDATE SET id = u.id - 100000 WHEN NOT MATCHED THEN INSERT (id) VALUES (g) RETURNING g, u.id, merge_action();

MERGE INTO users u USING generate_series(1, 2) g ON u.country = g AND g = 1 WHEN MATCHED THEN DELETE WHEN NOT MATCHED BY SOURCE AND u.id < 10 THEN UPDATE SET email = 'lost' WHEN NOT MATCHED THEN INSERT (id) VALUES (g + 7000) RETURNING g, g IS NULL, u.id, merge_action()

MERGE INTO users u USING (VALUES (1), (77)) v(x) ON u.country = v.x WHEN MATCHED AND u.id < 20 THEN DELETE WHEN NOT MATCHED THEN INSERT (id) VALUES (4000 + v.x) RETURNING WITH (OLD AS o, NEW AS n) merge_action() AS a, o.id, n.id, coalesce(o.id, n.id) + $$5$$::int AS s;

MERGE INTO users u USING (VALUES (1), (77)) v(x) ON u.country = v.x WHEN MATCHED THEN UPDATE SET id = u.id + 1000, email = 'moved' WHEN NOT MATCHED THEN INSERT (id) VALUES (4000 + v.x) RETURNING merge_action(), u.id, new.email, v.x, lower(merge_action()) || v.x;

MERGE INTO users u USING (VALUES (1), (77)) v(x) ON u.country = v.x WHEN MATCHED THEN UPDATE SET id = u.id + 1000, email = 'moved' WHEN NOT MATCHED BY SOURCE AND u.id < 30 THEN UPDATE SET id = -u.id * 100000 - 1 RETURNING *;

MERGE INTO users u USING (VALUES (1), (77)) v(x) ON u.country = v.x WHEN MATCHED THEN UPDATE SET id = u.id + 1000 RETURNING u, v, u.id AS old, merge_action() act;

MERGE INTO users u USING (VALUES (1), (77)) v(x) ON u.country = v.x WHEN MATCHED THEN UPDATE SET id = u.id + 1000 RETURNING WITH (OLD AS o) o.id, u.id;

MERGE INTO users u USING (VALUES (1), (1)) v(x) ON u.country = v.x WHEN MATCHED THEN UPDATE SET id = u.id + 1000 RETURNING u.id;

MERGE INTO users u USING payments p ON p.n = u.country AND p.id IN (3, 4) WHEN MATCHED THEN UPDATE SET email = p.note WHEN NOT MATCHED AND p.id < 6 THEN INSERT (id, email) VALUES (p.id + 5000, p.note) RETURNING p, u.id, merge_action();

MERGE INTO users u USING payments p ON p.n = u.country AND p.id IN (3, 4) WHEN MATCHED THEN UPDATE SET id = u.id + 1000 WHEN NOT MATCHED AND p.id < 6 THEN INSERT (id, email) VALUES (p.id + 5000, p.note) RETURNING p.*, u.*, p, p.note AS q;

MERGE INTO users u USING (SELECT n FROM payments WHERE false) v(x) ON u.country = v.x WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id) VALUES (4000 + v.x) RETURNING merge_action(), u.*, v.*;

MERGE INTO users u USING (SELECT DISTINCT n FROM payments WHERE n IS NOT NULL) p ON u.id = (p.n * 2 + 1) WHEN MATCHED THEN UPDATE SET email = 'm' WHEN NOT MATCHED THEN INSERT (id, email) VALUES ((p.n * 2 + 1), 'n') RETURNING *;

MERGE INTO users u USING (SELECT DISTINCT n FROM payments WHERE n IS NOT NULL) p ON u.id = (p.n * 2 + 1) WHEN MATCHED THEN UPDATE SET email = 'm' WHEN NOT MATCHED THEN INSERT (id, email) VALUES ((p.n * 2 + 1), 'n') RETURNING merge_action(), p.n, u.id;

MERGE INTO users u USING (SELECT DISTINCT n FROM payments WHERE false) p ON u.id = (p.n * 2 + 1) WHEN MATCHED THEN UPDATE SET email = 'm' WHEN NOT MATCHED THEN INSERT (id, email) VALUES ((p.n * 2 + 1), 'n') RETURNING merge_action(), p.n, u.id;

MERGE INTO users u USING generate_series(-3, 30) g ON u.id = g WHEN MATCHED AND g < 10 THEN DELETE WHEN MATCHED THEN UPDATE SET id = g * 1000 WHEN NOT MATCHED AND g % 5 = 0 THEN INSERT (id, email) VALUES (g, 'miss') RETURNING merge_action(), g, *;

MERGE INTO users u USING jsonb_array_elements('[6, 4321]') j ON u.id = j::bigint WHEN MATCHED THEN UPDATE SET email = j::text WHEN NOT MATCHED THEN INSERT (id, email) VALUES (j::bigint, 'new') RETURNING j, value, u.email;

WITH m AS (MERGE INTO users u USING (VALUES (1), (77)) v(x) ON u.country = v.x WHEN MATCHED THEN UPDATE SET id = u.id + 1000 WHEN NOT MATCHED THEN INSERT (id, email) VALUES (4000 + v.x, 'n') RETURNING merge_action() AS a, u.id, v.x) SELECT a, count(*), sum(id), min(x) FROM m GROUP BY a ORDER BY a;

MERGE INTO countries c USING (SELECT DISTINCT country FROM users WHERE country > 2) u ON u.country = c.id WHEN MATCHED THEN UPDATE SET name = 'seen' WHEN NOT MATCHED THEN INSERT VALUES (u.country, 'unseen') RETURNING merge_action(), c.*, u.country;

MERGE INTO users u USING (VALUES (6, 1006)) v(id, k) ON u.id = v.id WHEN MATCHED THEN UPDATE SET id = v.k RETURNING nothing;

