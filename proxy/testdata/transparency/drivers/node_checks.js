// What applications do by node-postgres: each check that passes is a line "ok NAME".
const { Client, Pool } = require('pg')
const Cursor = require('pg-cursor')
const QueryStream = require('pg-query-stream')
const { from: copyFrom, to: copyTo } = require('pg-copy-streams')
const { pipeline } = require('stream/promises')
const { Readable, Writable } = require('stream')
const assert = require('assert')

const checks = {
  async simple(c) {
    assert.deepStrictEqual((await c.query("SELECT 1 a, 'x' b, NULL c")).rows, [{ a: 1, b: 'x', c: null }])
    const several = await c.query('SELECT 1 a; SELECT 2 a')
    assert.deepStrictEqual(several.map((r) => r.rows[0].a), [1, 2])
    assert.strictEqual((await c.query('')).rows.length, 0)
  },
  async extended(c) {
    assert.deepStrictEqual((await c.query('SELECT $1::int a, $2::text b, $3::jsonb j', [7, 'ü', { k: [1] }])).rows, [{ a: 7, b: 'ü', j: { k: [1] } }])
    assert.deepStrictEqual((await c.query({ text: 'SELECT $1::text', values: ['x'], rowMode: 'array' })).rows, [['x']])
    const b = await c.query({ text: 'SELECT $1::int4 n', values: [5], binary: true })
    assert.strictEqual(b.rows[0].n, 5)
  },
  async prepared(c) {
    for (let i = 0; i < 30; i++) {
      const r = await c.query({ name: 'n' + (i % 3), text: `SELECT ${i % 3} s, $1::int v`, values: [i] })
      assert.deepStrictEqual(r.rows, [{ s: i % 3, v: i }])
    }
    await c.query('DISCARD ALL')
    await assert.rejects(c.query({ name: 'n0', text: 'SELECT 0 s, $1::int v', values: [1] }), (e) => e.code === '26000')
  },
  async queued(c) {
    const all = []
    for (let i = 0; i < 200; i++) all.push(c.query('SELECT $1::int v', [i]))
    assert.deepStrictEqual((await Promise.all(all)).map((r) => r.rows[0].v), [...Array(200).keys()])
  },
  async transactions(c) {
    await c.query('CREATE TEMP TABLE nt (a int)')
    await c.query('BEGIN')
    await c.query('INSERT INTO nt VALUES ($1)', [1])
    await c.query('SAVEPOINT s')
    await assert.rejects(c.query('INSERT INTO nt VALUES ($1::text::int)', ['x']), (e) => e.code === '22P02')
    await assert.rejects(c.query('SELECT 1'), (e) => e.code === '25P02')
    await c.query('ROLLBACK TO s')
    await c.query('COMMIT')
    await c.query('BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY')
    await assert.rejects(c.query('CREATE TABLE never (a int)'), (e) => e.code === '25006')
    await c.query('ROLLBACK')
    assert.strictEqual((await c.query('SELECT count(*)::int n FROM nt')).rows[0].n, 1)
  },
  async cursors(c) {
    const cur = c.query(new Cursor('SELECT g FROM generate_series(1, $1) g', [1000]))
    let n = 0
    for (let rows = await cur.read(70); rows.length; rows = await cur.read(70)) n += rows.length
    assert.strictEqual(n, 1000)
    await cur.close()
    const half = c.query(new Cursor('SELECT g FROM generate_series(1, $1) g', [1000]))
    await half.read(10)
    await half.close()
    assert.strictEqual((await c.query('SELECT 3 a')).rows[0].a, 3)
  },
  async stream(c) {
    let sum = 0
    for await (const row of c.query(new QueryStream('SELECT g FROM generate_series(1, 20000) g', [], { batchSize: 300 }))) sum += row.g
    assert.strictEqual(sum, 200010000)
  },
  async copy(c) {
    await c.query('CREATE TEMP TABLE nc (a int, b text)')
    const lines = function* () { for (let i = 0; i < 20000; i++) yield `${i}\t${'x'.repeat(i % 60)}\n` }
    await pipeline(Readable.from(lines()), c.query(copyFrom('COPY nc FROM STDIN')))
    let bytes = 0
    await pipeline(c.query(copyTo('COPY nc TO STDOUT')), new Writable({ write(b, _, done) { bytes += b.length; done() } }))
    assert.strictEqual((await c.query('SELECT sum(length(a::text) + length(b) + 2)::int n FROM nc')).rows[0].n, bytes)
    await assert.rejects(pipeline(Readable.from(['no\n']), c.query(copyFrom('COPY nc FROM STDIN'))), (e) => e.code === '22P02')
    assert.strictEqual((await c.query('SELECT 4 a')).rows[0].a, 4)
  },
  async listen(c) {
    const heard = new Promise((resolve, reject) => { c.once('notification', resolve); setTimeout(() => reject(new Error('nothing')), 20000).unref() })
    await c.query('LISTEN nodes')
    const other = new Client(); await other.connect()
    await other.query("SELECT pg_notify('nodes', $1)", ['psst'])
    await other.end()
    assert.strictEqual((await heard).payload, 'psst')
    await c.query('UNLISTEN nodes')
  },
  async cancel(c) {
    const other = new Client(); await other.connect()
    const slow = c.query('SELECT pg_sleep(60)')
    setTimeout(() => { const killer = new Client(); killer.cancel(c, c._activeQuery || c.activeQuery) }, 300)
    await assert.rejects(slow, (e) => e.code === '57014')
    await other.end()
    assert.strictEqual((await c.query('SELECT 5 a')).rows[0].a, 5)
  },
  async timeouts(c) {
    await c.query("SET statement_timeout = '100ms'")
    await assert.rejects(c.query('SELECT pg_sleep(30)'), (e) => e.code === '57014')
    await c.query('RESET statement_timeout')
  },
  async large(c) {
    const big = 'z'.repeat(10000000)
    assert.strictEqual((await c.query('SELECT $1::text v', [big])).rows[0].v, big)
    const r = await c.query("SELECT g, repeat('x', 100) x FROM generate_series(1, 100000) g")
    assert.strictEqual(r.rows.length, 100000)
  },
  async errors(c) {
    await c.query('CREATE TEMP TABLE ne (a int PRIMARY KEY)')
    await c.query('INSERT INTO ne VALUES (1)')
    await assert.rejects(c.query('INSERT INTO ne VALUES (1)'), (e) => e.code === '23505' && e.constraint === 'ne_pkey' && e.detail.includes('exists') && e.severity === 'ERROR')
    await assert.rejects(c.query('SELECT * FROM nowhere'), (e) => e.code === '42P01' && e.position === '15')
    const more = [c.query('SELECT 1/0'), c.query('SELECT 1 a')]
    await assert.rejects(more[0], (e) => e.code === '22012')
    assert.strictEqual((await more[1]).rows[0].a, 1)
  },
  async notices(c) {
    const got = []
    c.on('notice', (n) => got.push(n.message))
    await c.query("DO $$ BEGIN RAISE NOTICE 'hey'; END $$")
    assert.deepStrictEqual(got, ['hey'])
  },
  async types(c) {
    const r = (await c.query("SELECT 1::int2 a, 9007199254740993::int8 b, 1.50::numeric c, 'NaN'::float8 d, true e, '\\xdeadbeef'::bytea f, '2024-02-29T01:02:03Z'::timestamptz g, ARRAY[1,NULL]::int[] h")).rows[0]
    assert.deepStrictEqual([r.a, r.b, r.c, r.d, r.e, r.f.toString('hex'), r.g.toISOString(), r.h], [1, '9007199254740993', '1.50', NaN, true, 'deadbeef', '2024-02-29T01:02:03.000Z', [1, null]])
  },
  async pool() {
    const p = new Pool({ max: 15 })
    const got = await Promise.all([...Array(300).keys()].map(async (i) => (await p.query({ name: 'pooled', text: 'SELECT $1::int v', values: [i] })).rows[0].v))
    assert.deepStrictEqual(got, [...Array(300).keys()])
    await p.end()
  },
}

;(async () => {
  for (const [name, f] of Object.entries(checks)) {
    const c = new Client({ connectionTimeoutMillis: 30000 })
    try {
      await c.connect()
      await f(c)
      console.log('ok', name)
    } catch (e) {
      console.log('not ok', name, e.message)
    }
    await c.end().catch(() => {})
  }
  process.exit(0)
})()
