MERGE INTO users u USING (VALUES (6, 1006), (13, 1013), (9999, 1)) v(id, k) ON u.id = v.id WHEN MATCHED THEN UPDATE SET id = v.k;

MERGE INTO users u USING (VALUES (6, 1006), (13, 1013), (9999, 1)) v(id, k) ON u.id = v.id WHEN MATCHED THEN UPDATE SET id = v.k, email = 'moved' WHEN NOT MATCHED THEN INSERT (id, email) VALUES (v.id, 'new');

MERGE INTO users u USING (VALUES (6, 1006)) v(id, k) ON u.id = v.id WHEN MATCHED THEN UPDATE SET id = v.id, email = 'stays' WHEN NOT MATCHED THEN INSERT (id) VALUES (v.id);

MERGE INTO users u USING (SELECT DISTINCT n FROM payments WHERE n IS NOT NULL) p ON p.n = u.country WHEN MATCHED AND u.id < 20 THEN UPDATE SET id = u.id + 1000, score = p.n WHEN MATCHED AND u.id < 50 THEN DELETE WHEN MATCHED THEN UPDATE SET email = 'plain' WHEN NOT MATCHED THEN INSERT (id, email) VALUES (p.n + 5000, 'none');

MERGE INTO users u USING payments p ON p.user_id = u.id WHEN MATCHED THEN UPDATE SET id = u.id + 1000;

MERGE INTO users u USING payments p ON p.n = u.country WHEN MATCHED AND p.id < 3 THEN UPDATE SET id = u.id + 1000 WHEN MATCHED AND p.id = 3 THEN UPDATE SET email = 'x';

MERGE INTO users u USING (VALUES (1, 'a'), (1, 'b')) v(c, e) ON u.country = v.c WHEN MATCHED AND v.e = 'a' THEN UPDATE SET id = u.id + 1000 WHEN MATCHED THEN DELETE;

MERGE INTO users u USING (VALUES (1, 'a'), (1, 'b')) v(c, e) ON u.country = v.c WHEN MATCHED AND v.e = 'a' THEN UPDATE SET id = u.id + 1000 WHEN MATCHED THEN DO NOTHING;

MERGE INTO users u USING (VALUES (1, 'a'), (2, 'b')) v(c, e) ON u.country = v.c WHEN MATCHED AND v.e = 'a' THEN UPDATE SET id = u.id + 1000, country = 2 WHEN MATCHED THEN UPDATE SET id = -u.id - 100000, country = 1;

MERGE INTO payments p USING users u ON u.id = p.user_id AND p.n < 4 WHEN MATCHED AND u.country = 1 THEN DELETE WHEN MATCHED THEN UPDATE SET user_id = u.country WHEN NOT MATCHED THEN INSERT (id, user_id, note) VALUES (-1, u.id, u.email);

MERGE INTO payments AS p USING (SELECT 3 AS n) s ON s.n = p.n WHEN MATCHED THEN UPDATE SET (user_id, note) = (p.user_id * 2, 'two'), amount = NULL;

MERGE INTO payments USING (SELECT 3 AS k) s ON k = n WHEN MATCHED THEN UPDATE SET user_id = NULL, note = 'nobody';

MERGE INTO payments p USING (SELECT 3 AS n) s ON s.n = p.n WHEN MATCHED THEN UPDATE SET user_id = '77', f = 1;

MERGE INTO payments p USING (SELECT 3 AS n) s ON s.n = p.n WHEN MATCHED THEN UPDATE SET user_id = p.amount WHEN NOT MATCHED THEN INSERT VALUES (1);

MERGE INTO users u USING countries c ON c.id = u.country WHEN MATCHED AND u.id < 50 THEN UPDATE SET id = c.id * 10000 + u.id WHEN NOT MATCHED THEN INSERT (id, email) VALUES (c.id - 70000, c.name);

MERGE INTO users u USING users v ON u.id = v.id + 7 AND v.id < 0 WHEN MATCHED THEN UPDATE SET id = u.id * 1000 + 1;

MERGE INTO users u USING (VALUES (6, 13)) v(id, k) ON u.id = v.id WHEN MATCHED THEN UPDATE SET id = v.k;

MERGE INTO users u USING (VALUES (6, 1), (13, 1)) v(id, k) ON u.id = v.id WHEN MATCHED THEN UPDATE SET id = v.k;

MERGE INTO users u USING (VALUES (6)) v(id) ON u.id = v.id WHEN MATCHED THEN UPDATE SET id = NULL;

MERGE INTO users u USING (VALUES (6)) v(id) ON u.id = v.id WHEN MATCHED THEN UPDATE SET id = 'x';

MERGE INTO users u USING (VALUES (6)) v(id) ON u.id = v.id WHEN MATCHED THEN UPDATE SET id = 1 / 0;

MERGE INTO users u USING (VALUES (6)) v(id) ON u.id = v.id WHEN MATCHED THEN UPDATE SET id = v.id + 1, nothing = 2;

MERGE INTO users u USING (VALUES (-99999)) v(id) ON u.id = v.id WHEN MATCHED THEN UPDATE SET id = v.id + 1, nothing = 2;

MERGE INTO users u USING (SELECT n FROM payments WHERE false) v ON u.country = v.n WHEN MATCHED THEN UPDATE SET id = u.id + 1000;

WITH x AS (SELECT id, name FROM countries) MERGE INTO users u USING (SELECT * FROM x) s ON u.country = s.id WHEN MATCHED THEN UPDATE SET id = 30000 + u.id, email = s.name;

MERGE INTO users u USING generate_series(-3, 30) g ON u.id = g WHEN MATCHED THEN UPDATE SET email = 'hit' WHEN NOT MATCHED THEN INSERT (id, email) VALUES (g, 'miss');

MERGE INTO users u USING generate_series(-3, 30) ON u.id = generate_series WHEN MATCHED THEN DELETE WHEN NOT MATCHED AND generate_series % 3 = 0 THEN INSERT (id) VALUES (generate_series);

MERGE INTO users u USING generate_series(1, 3) WITH ORDINALITY AS g(n, o) ON u.country = g.n WHEN MATCHED THEN UPDATE SET score = g.o WHEN NOT MATCHED THEN INSERT (id) VALUES (o + 7000);

MERGE INTO users u USING unnest(ARRAY['ann', 'Bob', 'new']) WITH ORDINALITY AS g(e, o) ON u.email = g.e WHEN MATCHED THEN UPDATE SET score = g.o WHEN NOT MATCHED THEN INSERT (id, email) VALUES (o + 7000, e);

MERGE INTO users u USING unnest(ARRAY['ann', 'Bob'], ARRAY[1, 2]) AS g(e, o) ON u.email = g.e AND u.country = o WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id, email) VALUES (o + 7000, e);

MERGE INTO users u USING jsonb_to_recordset('[{"id": 6, "email": "six"}, {"id": 4321, "email": "new"}]') AS j(id bigint, email text) ON u.id = j.id WHEN MATCHED THEN UPDATE SET email = j.email WHEN NOT MATCHED THEN INSERT (id, email) VALUES (j.id, j.email);

MERGE INTO users u USING jsonb_each_text('{"6": "six", "4321": "new"}') j ON u.id = j.key::bigint WHEN MATCHED THEN UPDATE SET email = j.value WHEN NOT MATCHED THEN INSERT (id, email) VALUES (key::bigint, value);

MERGE INTO users u USING jsonb_array_elements('[6, 4321]') j ON u.id = j::bigint WHEN MATCHED THEN UPDATE SET email = j.value::text WHEN NOT MATCHED THEN INSERT (id, email) VALUES (value::bigint, j::text);

MERGE INTO users u USING ROWS FROM (generate_series(1, 3), unnest(ARRAY['a', 'B'])) AS r(a, b) ON u.country = r.a AND u.code = r.b WHEN MATCHED THEN UPDATE SET email = r.b || a WHEN NOT MATCHED THEN INSERT (id, email) VALUES (a + 7000, r.b);

MERGE INTO users u USING generate_series(1, 3) g ON u.country = g WHEN MATCHED THEN UPDATE SET email = g::text;

MERGE INTO users u USING jsonb_populate_recordset(NULL::users, '[{"id": 6, "code": "a"}, {"id": 4321}]') j ON u.id = j.id WHEN MATCHED THEN UPDATE SET email = j.code WHEN NOT MATCHED THEN INSERT VALUES (j.id);

MERGE INTO countries c USING generate_series(4, 9) g(x) ON c.id = g.x WHEN MATCHED THEN UPDATE SET name = 'had' WHEN NOT MATCHED THEN INSERT VALUES (x, 'got');

MERGE INTO users u USING (SELECT id, n FROM payments WHERE id < 10) p ON u.country = p.n AND p.id = 5 WHEN MATCHED THEN UPDATE SET email = to_jsonb(p)::text WHEN NOT MATCHED THEN INSERT (id, email) VALUES (p.id + 5000, p::text);

MERGE INTO users u USING payments p ON p.user_id = u.id AND p.id = 3 WHEN MATCHED THEN UPDATE SET email = to_jsonb(p)::text, code = pg_typeof(p)::text;

MERGE INTO users u USING payments p ON p.n = u.country AND p.id = 3 WHEN MATCHED AND p IS NOT NULL THEN UPDATE SET email = row_to_json(p)::text, code = pg_typeof(p)::text WHEN NOT MATCHED AND (p.*) IS DISTINCT FROM NULL THEN INSERT (id, email, code) VALUES (p.id + 5000, ROW(p.*)::text, pg_typeof(p)::text);

MERGE INTO users u USING countries ON countries.id + 60 = u.id WHEN NOT MATCHED AND countries > (1, 'A') THEN INSERT (id, email) VALUES (countries.id + 60, countries::text);

MERGE INTO users u USING payments p ON p.n = u.country AND p.id < 4 AND p < (2, 0, 0, 0, '', 0)::payments WHEN MATCHED AND to_jsonb(u) ? 'email' THEN UPDATE SET email = jsonb_build_object('p', p)::text WHEN NOT MATCHED THEN INSERT (id, email) VALUES (p.id + 5000, (p).note);

MERGE INTO users u USING (SELECT DISTINCT n FROM payments WHERE n IS NOT NULL) p ON u.id = (p.n * 2 + 1) WHEN MATCHED THEN UPDATE SET email = to_jsonb(p)::text WHEN NOT MATCHED THEN INSERT (id, email) VALUES ((p.n * 2 + 1), p::text);

MERGE INTO users u USING (SELECT DISTINCT n FROM payments WHERE n IS NOT NULL) p ON u.country = p.n WHEN MATCHED THEN DO NOTHING WHEN NOT MATCHED AND n > 3 THEN INSERT (id, email, score) VALUES (p.n + 5000, DEFAULT, DEFAULT) WHEN NOT MATCHED THEN INSERT (email, id) VALUES ('rest', p.n + 6000);

MERGE INTO payments p USING (SELECT DISTINCT country FROM users) u ON u.country = p.n WHEN NOT MATCHED THEN INSERT (id, note) VALUES (u.country, 'keyless') WHEN MATCHED THEN DO NOTHING;

MERGE INTO payments p USING (SELECT DISTINCT country FROM users) u ON u.country = p.n + 100 WHEN NOT MATCHED THEN INSERT (id, user_id, note) VALUES (u.country, DEFAULT, 'keyless');

MERGE INTO users u USING (SELECT DISTINCT n FROM payments) p ON u.country = p.n WHEN NOT MATCHED THEN INSERT (id, nothing) VALUES (p.n + 5000, 1);

MERGE INTO users u USING (SELECT DISTINCT n FROM payments WHERE false) p ON u.country = p.n WHEN NOT MATCHED THEN INSERT (id, nothing) VALUES (p.n + 5000, 1);

MERGE INTO users u USING (SELECT DISTINCT n FROM payments) p ON u.country = p.n WHEN NOT MATCHED THEN INSERT (id) VALUES (p.n + 5000) RETURNING id;

