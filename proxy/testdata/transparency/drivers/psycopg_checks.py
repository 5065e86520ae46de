"""What applications do by psycopg 3: each check that passes is a line "ok NAME"."""
import asyncio, datetime, decimal, sys, threading, time, uuid
import psycopg
from psycopg import sql, errors
from psycopg.types.json import Jsonb

checks = []


def check(f):
    checks.append(f)
    return f


def connect(**kw):
    return psycopg.connect("", connect_timeout=30, **kw)


@check
def simple(c):
    assert c.execute("SELECT 1", prepare=False).fetchone() == (1,)
    c.commit()
    cur = psycopg.ClientCursor(c)
    assert cur.execute("SELECT %s, %s", ("it's", None)).fetchone() == ("it's", None)


@check
def several_statements(c):
    cur = psycopg.ClientCursor(c)
    cur.execute("SELECT 1; SELECT 2; SELECT 3")
    got = [cur.fetchone()[0]]
    while cur.nextset():
        got.append(cur.fetchone()[0])
    assert got == [1, 2, 3]


@check
def prepared(c):
    c.prepare_threshold = 0
    for i in range(20):
        assert c.execute("SELECT %s::int + 1", (i,)).fetchone() == (i + 1,)
        c.commit()


@check
def many_prepared(c):
    c.prepare_threshold, c.prepared_max = 0, 5
    for i in range(60):
        assert c.execute(f"SELECT {i}, %s::text", ("x",)).fetchone() == (i, "x")
    c.commit()


@check
def binary_and_types(c):
    values = [
        True, 7, -(2**62), 1.5, decimal.Decimal("1234567890123456789.000100"), "ünï ☃", b"\0\1\xff", datetime.date(2024, 2, 29),
        datetime.datetime(2024, 2, 29, 12, 0, 1, 5, tzinfo=datetime.timezone.utc), datetime.timedelta(days=3, seconds=4), uuid.UUID(int=5),
        [1, 2, 3],
    ]
    for binary in (False, True):
        cur = c.cursor(binary=binary)
        for v in values:
            assert cur.execute("SELECT %s", (v,)).fetchone()[0] == v, v
        assert cur.execute("SELECT %s::jsonb", (Jsonb({"a": [1, None]}),)).fetchone()[0] == {"a": [1, None]}
        assert str(cur.execute("SELECT '[1,5)'::int4range").fetchone()[0]) == "[1, 5)"


@check
def pipeline(c):
    with c.pipeline() as p:
        curs = [c.execute("SELECT %s::int * 2", (i,)) for i in range(200)]
        p.sync()
        assert [x.fetchone()[0] for x in curs] == [2 * i for i in range(200)]


@check
def pipeline_error(c):
    c.autocommit = True
    try:
        with c.pipeline() as p:
            c.execute("SELECT 1")
            c.execute("SELECT 1/0")
            c.execute("SELECT 2")
            p.sync()
        failed = False
    except errors.DivisionByZero:
        failed = True
    assert failed
    assert c.execute("SELECT 3").fetchone() == (3,)


@check
def executemany(c):
    c.execute("CREATE TEMP TABLE em (a int, b text)")
    c.cursor().executemany("INSERT INTO em VALUES (%s, %s)", [(i, str(i)) for i in range(500)])
    assert c.execute("SELECT count(*), sum(a) FROM em").fetchone() == (500, 124750)
    cur = c.cursor()
    cur.executemany("INSERT INTO em VALUES (%s, %s) RETURNING a", [(1, "a"), (2, "b")], returning=True)
    assert cur.fetchone() == (1,) and cur.nextset() and cur.fetchone() == (2,)


@check
def copy_in_out(c):
    c.execute("CREATE TEMP TABLE cp (a int, b text)")
    with c.cursor().copy("COPY cp FROM STDIN") as copy:
        for i in range(20000):
            copy.write_row((i, "x" * (i % 50)))
    with c.cursor().copy("COPY cp TO STDOUT (FORMAT binary)") as copy:
        copy.set_types(["int4", "text"])
        assert sum(r[0] for r in copy.rows()) == 199990000
    try:
        with c.cursor().copy("COPY cp FROM STDIN") as copy:
            copy.write("no number\tx\n")
        failed = False
    except errors.InvalidTextRepresentation:
        failed = True
    assert failed
    c.rollback()
    try:
        c.execute("CREATE TEMP TABLE cp (a int, b text)")
        with c.cursor().copy("COPY cp FROM STDIN") as copy:
            copy.write_row((1, "a"))
            raise KeyError("changed my mind")
    except (KeyError, errors.QueryCanceled):
        pass
    c.rollback()
    assert c.execute("SELECT 1").fetchone() == (1,)


@check
def listen_notify(c):
    c.autocommit = True
    c.execute("LISTEN transparency")
    with connect(autocommit=True) as other:
        other.execute("NOTIFY transparency, 'hello'")
    for n in c.notifies(timeout=20, stop_after=1):
        assert (n.channel, n.payload) == ("transparency", "hello")
        break
    else:
        raise AssertionError("no notification")
    c.execute("UNLISTEN *")


@check
def cancel(c):
    t = threading.Timer(0.3, c.cancel_safe)
    t.start()
    try:
        c.execute("SELECT pg_sleep(60)")
        cancelled = False
    except errors.QueryCanceled:
        cancelled = True
    t.join()
    c.rollback()
    assert cancelled and c.execute("SELECT 1").fetchone() == (1,)


@check
def transactions(c):
    c.execute("CREATE TEMP TABLE tx (a int)")
    c.commit()
    with c.transaction():
        c.execute("INSERT INTO tx VALUES (1)")
        try:
            with c.transaction():
                c.execute("INSERT INTO tx VALUES (2)")
                raise psycopg.Rollback()
        except psycopg.Rollback:
            pass
        try:
            with c.transaction("named"):
                c.execute("INSERT INTO tx VALUES ('x')")
        except errors.InvalidTextRepresentation:
            pass
    assert c.execute("SELECT array_agg(a) FROM tx").fetchone() == ([1],)
    c.rollback()
    c.isolation_level, c.read_only, c.deferrable = psycopg.IsolationLevel.SERIALIZABLE, True, True
    assert c.execute("SHOW transaction_isolation").fetchone() == ("serializable",)
    assert c.execute("SHOW transaction_read_only").fetchone() == ("on",)
    c.rollback()
    assert c.info.transaction_status.name == "IDLE"


@check
def two_phase(c):
    if int(c.execute("SHOW max_prepared_transactions").fetchone()[0]) == 0:
        return
    c.rollback()
    x = c.xid(1, "gid", "branch")
    c.tpc_begin(x)
    c.execute("SELECT 1")
    c.tpc_prepare()
    c.tpc_rollback()


@check
def cursors(c):
    with c.cursor("named") as cur:
        cur.itersize = 100
        cur.execute("SELECT generate_series(1, 10000)")
        assert sum(r[0] for r in cur) == 50005000
    cur = c.cursor("held", withhold=True, scrollable=True)
    cur.execute("SELECT generate_series(1, 100)")
    c.commit()
    assert cur.fetchone() == (1,)
    c.commit()
    cur.scroll(10)
    assert cur.fetchone() == (12,)
    cur.scroll(-5)
    assert cur.fetchone() == (8,)
    cur.close()


@check
def large_result(c):
    cur = c.execute("SELECT g, repeat('x', 100) FROM generate_series(1, 200000) g")
    assert sum(r[0] for r in cur) == 20000100000
    assert len(c.execute("SELECT repeat('y', 30000000)").fetchone()[0]) == 30000000
    assert c.execute("SELECT length(%s)", ("z" * 20000000,)).fetchone() == (20000000,)
    n = 0
    for row in c.cursor().stream("SELECT generate_series(1, 5000)"):
        n += row[0]
    assert n == 12502500


@check
def errors_are_whole(c):
    c.execute("CREATE TEMP TABLE er (a int PRIMARY KEY CHECK (a > 0))")
    c.execute("INSERT INTO er VALUES (1)")
    c.commit()
    try:
        c.execute("INSERT INTO er VALUES (1)")
    except errors.UniqueViolation as e:
        d = e.diag
        assert (d.sqlstate, d.constraint_name, d.table_name, d.severity) == ("23505", "er_pkey", "er", "ERROR") and "already exists" in d.message_detail
    try:
        c.execute("SELECT 1")
        raise AssertionError("a failed transaction goes on")
    except errors.InFailedSqlTransaction:
        pass
    c.rollback()
    try:
        c.execute("SELEC 1")
    except errors.SyntaxError as e:
        assert e.diag.statement_position == "1"
    c.rollback()


@check
def notices(c):
    got = []
    c.add_notice_handler(lambda d: got.append((d.severity, d.message_primary)))
    c.execute("DO $$ BEGIN RAISE NOTICE 'one'; RAISE WARNING 'two'; END $$")
    assert got == [("NOTICE", "one"), ("WARNING", "two")]


@check
def session_state(c):
    c.autocommit = True
    c.execute("SET statement_timeout = '12s'")
    c.execute("SELECT set_config('search_path', 'pg_catalog', false)")
    with connect(autocommit=True) as other:
        for _ in range(5):
            assert other.execute("SHOW statement_timeout").fetchone() != ("12s",)
            assert c.execute("SHOW statement_timeout").fetchone() == ("12s",)
            assert c.execute("SHOW search_path").fetchone() == ("pg_catalog",)
    c.execute("SET TIME ZONE 'Asia/Tokyo'")
    assert c.info.parameter_status("TimeZone") == "Asia/Tokyo"
    c.execute("RESET ALL")
    assert c.execute("SHOW statement_timeout").fetchone() != ("12s",)


@check
def startup_options(c):
    with connect(options="-c search_path=pg_catalog -c my.own=5", application_name="trans") as o:
        assert o.execute("SELECT current_setting('search_path'), current_setting('my.own'), current_setting('application_name')").fetchone() == ("pg_catalog", "5", "trans")
        assert o.info.encoding == "utf-8"


@check
def temp_and_locks(c):
    c.autocommit = True
    c.execute("CREATE TEMP TABLE tl AS SELECT 1 a")
    assert c.execute("SELECT * FROM tl").fetchone() == (1,)
    assert c.execute("SELECT pg_try_advisory_lock(4711)").fetchone() == (True,)
    with connect(autocommit=True) as o:
        assert o.execute("SELECT pg_try_advisory_lock(4711)").fetchone() == (False,)
        assert o.execute("SELECT to_regclass('pg_temp.tl')").fetchone() == (None,)
    assert c.execute("SELECT pg_advisory_unlock(4711)").fetchone() == (True,)
    c.execute("DISCARD ALL")
    assert c.execute("SELECT to_regclass('pg_temp.tl')").fetchone() == (None,)


@check
def asynchronous(c):
    async def one(i):
        async with await psycopg.AsyncConnection.connect("", connect_timeout=30) as a:
            async with a.pipeline():
                cur = await a.execute("SELECT %s::int", (i,))
                await a.execute("SELECT pg_sleep(0.01)")
                return (await cur.fetchone())[0]

    async def all():
        return await asyncio.gather(*(one(i) for i in range(30)))

    assert asyncio.run(all()) == list(range(30))


@check
def many_connections(c):
    out = []

    def work(i):
        with connect() as m:
            for k in range(20):
                out.append(m.execute("SELECT %s::int", (i * 100 + k,), prepare=True).fetchone()[0])
                m.commit()

    ts = [threading.Thread(target=work, args=(i,)) for i in range(20)]
    [t.start() for t in ts]
    [t.join() for t in ts]
    assert sorted(out) == sorted(i * 100 + k for i in range(20) for k in range(20))


for f in checks:
    try:
        with connect() as c:
            f(c)
        print("ok", f.__name__)
    except BaseException as e:
        print("not ok", f.__name__, type(e).__name__, e)
sys.exit(0)
