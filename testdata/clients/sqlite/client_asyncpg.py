# asyncpg on a SQLite database; the URL is the first argument.
import asyncio
import sys
from urllib.parse import parse_qs, urlsplit

import asyncpg


async def main(url):
    u = urlsplit(url)
    conn = await asyncpg.connect(host=u.hostname, port=u.port, user=u.username, password=u.password, database=u.path[1:], ssl=False)
    await conn.execute("CREATE TABLE ay (id integer PRIMARY KEY, name text, price double precision)")
    await conn.executemany("INSERT INTO ay (id, name, price) VALUES ($1, $2, $3)", [(i, f"n{i}", i / 2) for i in range(100)])
    insert = await conn.prepare("INSERT INTO ay (name) VALUES ($1) RETURNING id")
    assert [t.name for t in insert.get_parameters()] == ["text"]
    assert await insert.fetchval("last") == 100
    async with conn.transaction():
        rows = [r["id"] async for r in conn.cursor("SELECT id FROM ay WHERE price > $1", 10.0)]
    assert len(rows) == 79, len(rows)
    await conn.copy_records_to_table("ay", records=[(1000 + i, f"c{i}", 1.5) for i in range(500)], columns=["id", "name", "price"])
    assert await conn.fetchval("SELECT count(*) FROM ay") == 601
    assert await conn.fetchval("SELECT $1::int + 1", 41) == 42
    await conn.reset()
    await conn.close()
    print("asyncpg", asyncpg.__version__)


asyncio.run(main(sys.argv[1]))
