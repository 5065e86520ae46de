SELECT 1;

SELECT 1 AS a, 'x' AS b, NULL AS c;

SELECT version() IS NOT NULL;

SELECT current_database() IS NOT NULL;

SELECT count(*) FROM countries;

SELECT * FROM countries;

SELECT 1/0;

SELECT nosuch FROM users;

SELECT * FROM nosuch;

SELEKT 1;

SELECT id FROM users WHERE;

SELECT 'a'::int;

SELECT id / (id - 6) FROM users;

SELECT 1e400::float8;

SELECT email::int FROM users WHERE id = 6;

SELECT id FROM users WHERE email = 1;

SELECT sum(9223372036854775807 + id) FROM users;

SELECT '2024-02-30'::date;

;

SELECT;

SELECT DISTINCT 1;

SELECT 1 FROM users WHERE id = 6;

SELECT NULL::users;

SELECT u FROM users u WHERE id = 6;

SELECT array_agg(email ORDER BY id) FROM users WHERE id IN (6, 13, 20);

SHOW server_version_num;

SHOW standard_conforming_strings;

SELECT current_setting('search_path');

SELECT pg_typeof(id) FROM users WHERE id = 6;

SELECT to_char(1234.5, '9G999D99');

SELECT md5('x'), length('ä');

SELECT ('{"a": 1}'::jsonb)->>'a';

SELECT now() - now();

SELECT $$dollar$$, E'a\nb', U&'\0061';

SELECT 1;

