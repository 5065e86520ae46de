-- A schema with one of nearly everything that pg_dump knows, for the round trip.
CREATE EXTENSION citext;
CREATE EXTENSION hstore;
CREATE EXTENSION btree_gist;
CREATE ROLE shopkeeper;
CREATE SCHEMA "odd ""schema""";
COMMENT ON SCHEMA "odd ""schema""" IS 'it''s odd; \n is no newline';
CREATE TYPE mood AS ENUM ('good', 'it''s bad', 'ü');
CREATE TYPE pair AS (a int, b text COLLATE "C");
CREATE TYPE span AS RANGE (subtype = float8, subtype_diff = float8mi);
CREATE DOMAIN email AS citext NOT NULL CHECK (VALUE ~ '@') CONSTRAINT short CHECK (length(VALUE) < 100);
CREATE COLLATION german (provider = icu, locale = 'de-u-co-phonebk');
CREATE SEQUENCE ticket START 100 INCREMENT 7 MAXVALUE 1000000 CACHE 3 CYCLE;
CREATE TABLE customer (
    id bigint GENERATED ALWAYS AS IDENTITY (START 1000) PRIMARY KEY,
    mail email UNIQUE,
    name text COLLATE german NOT NULL DEFAULT 'no ''name''',
    feeling mood DEFAULT 'good',
    at timestamptz NOT NULL DEFAULT '2026-01-01 00:00:00+00',
    ticket int DEFAULT nextval('ticket'),
    doc jsonb, tags text[] DEFAULT ARRAY['a', 'b,c'], extra hstore, bits bit varying(9), net inet, money numeric(12,4),
    joined text GENERATED ALWAYS AS (name || ':' || mail::text) STORED,
    joined_later text GENERATED ALWAYS AS (upper(name)) VIRTUAL,
    raw bytea, tsv tsvector, p pair, s span, x xml, i interval, f4 float4, f8 float8
);
COMMENT ON TABLE customer IS 'who buys';
COMMENT ON COLUMN customer.mail IS 'a "quoted" comment';
ALTER TABLE customer ALTER COLUMN name SET STATISTICS 500, ALTER COLUMN raw SET STORAGE EXTERNAL;
CREATE TABLE orders (id int, customer bigint NOT NULL, at date NOT NULL, note text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE orders_2025 PARTITION OF orders FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE orders_2026 PARTITION OF orders FOR VALUES FROM ('2026-01-01') TO ('2027-01-01') PARTITION BY HASH (id);
CREATE TABLE orders_2026_0 PARTITION OF orders_2026 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE orders_2026_1 PARTITION OF orders_2026 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE orders_rest PARTITION OF orders DEFAULT;
ALTER TABLE orders ADD CONSTRAINT of_customer FOREIGN KEY (customer) REFERENCES customer ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED;
CREATE TABLE booking (room int, during tstzrange, EXCLUDE USING gist (room WITH =, during WITH &&), CHECK (NOT isempty(during)) NO INHERIT);
CREATE TABLE parent (a int); CREATE TABLE child (b int DEFAULT 7) INHERITS (parent);
CREATE TABLE "odd ""schema"""."select" ("from" int, "a b" text, "ü" text UNIQUE NULLS NOT DISTINCT) WITH (fillfactor = 70, autovacuum_enabled = false);
CREATE UNLOGGED TABLE fleeting (v int);
CREATE TABLE secret (owner name DEFAULT current_user, v text);
ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON secret AS RESTRICTIVE FOR SELECT TO shopkeeper, PUBLIC USING (owner = current_user);
GRANT SELECT, UPDATE (v) ON secret TO shopkeeper WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO shopkeeper;
REVOKE ALL ON SCHEMA "odd ""schema""" FROM PUBLIC;
CREATE INDEX by_feeling ON customer (feeling DESC NULLS LAST, lower(name)) INCLUDE (at) WHERE feeling <> 'good';
CREATE INDEX by_tags ON customer USING gin (tags);
CREATE INDEX by_doc ON customer USING gin (doc jsonb_path_ops) WITH (fastupdate = off);
CREATE UNIQUE INDEX by_note ON orders (note, id, at) NULLS NOT DISTINCT;
CREATE STATISTICS together (dependencies, ndistinct) ON feeling, at FROM customer;
ALTER TABLE customer CLUSTER ON customer_pkey;
ALTER TABLE booking REPLICA IDENTITY FULL;
CREATE VIEW happy WITH (security_barrier) AS SELECT id, name FROM customer WHERE feeling = 'good' WITH LOCAL CHECK OPTION;
CREATE VIEW first AS SELECT 1 AS n;
CREATE VIEW second AS SELECT n + 1 AS m FROM first;
CREATE MATERIALIZED VIEW totals AS SELECT customer, count(*) AS n FROM orders GROUP BY customer;
CREATE UNIQUE INDEX ON totals (customer);
CREATE FUNCTION tr() RETURNS trigger LANGUAGE plpgsql AS $fn$ BEGIN NEW.note := coalesce(NEW.note, '$$ ; $body$ \'); RETURN NEW; END $fn$;
CREATE TRIGGER fill BEFORE INSERT OR UPDATE OF note ON orders FOR EACH ROW WHEN (NEW.note IS NULL) EXECUTE FUNCTION tr('an ''arg''');
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON booking DEFERRABLE FOR EACH ROW EXECUTE FUNCTION tr();
ALTER TABLE booking DISABLE TRIGGER late;
CREATE FUNCTION add(a int, VARIADIC b int[] DEFAULT '{1,2}') RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT COST 5 RETURN a + (SELECT sum(v) FROM unnest(b) v);
CREATE PROCEDURE pay(INOUT n int) LANGUAGE plpgsql AS $$ BEGIN n := n + 1; COMMIT; END $$;
CREATE AGGREGATE product (int8) (SFUNC = int8mul, STYPE = int8, INITCOND = '1');
CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq, COMMUTATOR = ===);
CREATE CAST (pair AS text) WITH INOUT AS ASSIGNMENT;
CREATE RULE quiet AS ON DELETE TO fleeting DO INSTEAD NOTHING;
CREATE TEXT SEARCH CONFIGURATION plain (COPY = simple);
CREATE FUNCTION event_noted() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE '%', tg_tag; END $$;
CREATE EVENT TRIGGER watch ON ddl_command_end WHEN TAG IN ('DROP AGGREGATE') EXECUTE FUNCTION event_noted();
CREATE PUBLICATION everything FOR TABLE customer (id, mail) WHERE (id > 0);

INSERT INTO customer (mail, name, feeling, doc, extra, bits, net, money, raw, tsv, p, s, x, i, f4, f8) VALUES
    ('A@b.c', E'tab\there, newline\nhere, \\ backslash, \r, ''quote''', 'ü', '{"k": "\u00e4\n", "n": 1.10}', 'a=>"1, 2", b=>NULL', '101', '10.0.0.0/8', 1234.5000, '\x00ff005c0a', 'fat:1A cat:2', '(1,"a ""b"" (c)")', '[1.5,2.5)', '<a>&lt;</a>', '1 mon -2 days 03:04:05.678', 0.1, 'NaN'),
    ('d@e.f', '', NULL, NULL, '', '', '::1', 'NaN', '', NULL, NULL, 'empty', NULL, '-178000000 years', 'Infinity', 1e-307),
    ('g@h.i', U&'\+01F600 \00A0\200B', 'it''s bad', '[]', NULL, NULL, NULL, -0.0001, decode(repeat('00ff5c27', 5000), 'hex'), NULL, '(,)', NULL, NULL, NULL, '-0', '0.30000000000000004');
INSERT INTO customer (mail, name, tags) SELECT 'u' || g || '@x', md5(g::text), ARRAY[NULL, '', '{', '"', '\'] FROM generate_series(1, 2000) g;
INSERT INTO orders SELECT g, 1000 + g % 3, date '2025-06-01' + g % 700, CASE g % 2 WHEN 0 THEN 'n' || g END FROM generate_series(1, 1000) g ON CONFLICT DO NOTHING;
INSERT INTO booking VALUES (1, '[2026-01-01, 2026-01-02)'), (1, '[2026-01-02,)');
INSERT INTO child VALUES (1, 2); INSERT INTO parent VALUES (3);
INSERT INTO "odd ""schema"""."select" VALUES (1, E'\\.', NULL), (2, E'a\vb\fc\bd', E'\\N'), (3, repeat('long ', 100000), 'ü');
INSERT INTO secret VALUES ('x', E'\x01\x02\x7f');
SELECT nextval('ticket'), setval('customer_id_seq', 5000);
REFRESH MATERIALIZED VIEW totals;
SELECT lo_from_bytea(4711, '\x00ff27'), lo_from_bytea(4712, decode(repeat('5c0a', 10000), 'hex'));
COMMENT ON LARGE OBJECT 4711 IS 'a large object';
