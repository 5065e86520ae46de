# A real application's moves, with psycopg; the URL is the first argument.
import sys

import psycopg

with psycopg.connect(sys.argv[1], autocommit=True) as conn:
    for migration in (
        "CREATE TABLE python_user (id serial PRIMARY KEY, email text UNIQUE NOT NULL)",
        "ALTER TABLE python_user ADD COLUMN tags text[] NOT NULL DEFAULT '{}'",
        "CREATE INDEX ON python_user USING gin (tags)",
    ):
        with conn.transaction():
            conn.execute(migration)
    for i in range(20):  # prepared from the second on
        conn.execute("INSERT INTO python_user (email, tags) VALUES (%s, %s)", (f"u{i}@x", ["a", str(i)]), prepare=i > 0)
    try:
        with conn.transaction():
            conn.execute("INSERT INTO python_user (email) VALUES ('lost@x')")
            conn.execute("INSERT INTO python_user (email) VALUES ('u1@x')")
        raise SystemExit("a duplicate got in")
    except psycopg.errors.UniqueViolation as e:
        assert e.diag.constraint_name == "python_user_email_key", e
    with conn.cursor() as cur:
        with cur.copy("COPY python_user (email) FROM STDIN") as copy:
            for i in range(1000):
                copy.write_row((f"copied{i}@x",))
        with cur.copy("COPY (SELECT id, email FROM python_user ORDER BY id) TO STDOUT (FORMAT binary)") as copy:
            copy.set_types(["int4", "text"])
            rows = list(copy.rows())
        assert len(rows) == 1020, len(rows)
        with conn.transaction(), conn.cursor("portal") as named:
            named.itersize = 100
            named.execute("SELECT id FROM python_user")
            assert sum(1 for _ in named) == 1020
    with conn.pipeline():
        cursors = [conn.execute("SELECT %s::int * 2", (i,)) for i in range(50)]
        assert [c.fetchone()[0] for c in cursors] == [2 * i for i in range(50)]
    print("psycopg", psycopg.__version__, conn.info.server_version)
