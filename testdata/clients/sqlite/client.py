# psycopg on a SQLite database; the URL is the first argument.
import sys

import psycopg
from psycopg.rows import dict_row

with psycopg.connect(sys.argv[1], autocommit=True) as conn:
    conn.execute("CREATE TABLE py (id integer PRIMARY KEY, name text NOT NULL UNIQUE, price numeric, at timestamp, ok boolean)")
    for i in range(20):  # prepared from the second on
        conn.execute("INSERT INTO py (name, price, ok) VALUES (%s, %s, %s)", (f"n{i}", i + 0.5, i % 2 == 0), prepare=i > 0)
    row = conn.execute("INSERT INTO py (name) VALUES (%s) RETURNING *", ("last",)).fetchone()
    assert row == (21, "last", None, None, None), row
    row = conn.cursor(row_factory=dict_row).execute("SELECT count(*), max(id)::int, sum(price)::float8 AS total FROM py WHERE id < %s", (21,)).fetchone()
    assert row == {"count": 20, "max": 20, "total": 200.0}, row
    try:
        with conn.transaction():
            conn.execute("INSERT INTO py (name) VALUES ('lost')")
            conn.execute("INSERT INTO py (name) VALUES ('n1')")
        raise SystemExit("a duplicate got in")
    except psycopg.errors.UniqueViolation:
        pass
    with conn.cursor() as cur:
        with cur.copy("COPY py (id, name, ok) FROM STDIN") as copy:
            for i in range(1000):
                copy.write_row((100 + i, f"copied{i}", True))
        with cur.copy("COPY (SELECT id, name FROM py ORDER BY id) TO STDOUT (FORMAT binary)") as copy:
            copy.set_types(["int8", "text"])
            rows = list(copy.rows())
        assert len(rows) == 1021 and rows[-1] == (1099, "copied999"), rows[-1]
        with conn.transaction(), conn.cursor("portal") as named:
            named.itersize = 100
            named.execute("SELECT id FROM py WHERE ok")
            assert sum(1 for _ in named) == 1010
    with conn.pipeline():
        cursors = [conn.execute("SELECT %s::int * 2", (i,)) for i in range(50)]
        assert [c.fetchone()[0] for c in cursors] == [2 * i for i in range(50)]
    rows = conn.execute("SELECT name FROM py WHERE id = ANY(%s) ORDER BY id", ([1, 3, 5],)).fetchall()
    assert rows == [("n0",), ("n2",), ("n4",)], rows
    rows = conn.execute(
        "SELECT column_name, data_type, is_nullable FROM information_schema.columns WHERE table_schema = 'public' AND table_name = %s ORDER BY ordinal_position",
        ("py",),
    ).fetchall()
    assert rows[0] == ("id", "bigint", "NO") and rows[2] == ("price", "numeric", "YES") and len(rows) == 5, rows
    info = psycopg.types.TypeInfo.fetch(conn, "int8")  # asks pg_type
    assert info.oid == 20 and info.array_oid == 1016, info
    try:
        conn.execute("ATTACH 'elsewhere.db' AS x")
        raise SystemExit("it left its file")
    except psycopg.errors.InsufficientPrivilege:
        pass
    print("psycopg", psycopg.__version__, conn.info.server_version)
