// node-postgres on a SQLite database; the URL is the first argument.
const assert = require('assert')
const { Client, Pool } = require('pg')
const copy = require('pg-copy-streams')
const Cursor = require('pg-cursor')
const { pipeline } = require('stream/promises')
const { Readable } = require('stream')

async function main(url) {
  const client = new Client(url)
  await client.connect()
  await client.query('CREATE TABLE js (id integer PRIMARY KEY, name text UNIQUE, price real, born date, ok boolean)')
  for (let i = 0; i < 20; i++) {
    const { rows } = await client.query({ name: 'add', text: 'INSERT INTO js (name, price, ok) VALUES ($1, $2, $3) RETURNING id, ok', values: [`n${i}`, i / 2, true] })
    assert.deepStrictEqual(rows, [{ id: String(i + 1), ok: true }]) // a bigint is a string there
  }
  const { rows: [row] } = await client.query('SELECT count(*)::int, $1::text AS text, $2::int4 AS n, max(name) FROM js', ['x', 7])
  assert.deepStrictEqual(row, { count: 20, text: 'x', n: 7, max: 'n9' })
  await client.query('BEGIN')
  await client.query("INSERT INTO js (name) VALUES ('lost')")
  await assert.rejects(client.query("INSERT INTO js (name) VALUES ('n1')"), (e) => e.code === '23505')
  await assert.rejects(client.query('SELECT 1'), (e) => e.code === '25P02')
  await client.query('ROLLBACK')
  const lines = Array.from({ length: 1000 }, (_, i) => `copied${i}\tt\n`)
  await pipeline(Readable.from(lines), client.query(copy.from('COPY js (name, ok) FROM STDIN')))
  let out = ''
  for await (const chunk of client.query(copy.to('COPY (SELECT id::int4, name FROM js) TO STDOUT WITH (FORMAT csv, HEADER)'))) out += chunk
  assert.strictEqual(out.trim().split('\n').length, 1021)
  const cursor = client.query(new Cursor('SELECT id FROM js WHERE id > $1 ORDER BY id', [10]))
  assert.strictEqual((await cursor.read(100)).length, 100)
  assert.strictEqual((await cursor.read(2000)).length, 910)
  await cursor.close()
  const tables = await client.query("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1")
  assert.ok(tables.rows.some((r) => r.table_name === 'js'))
  await assert.rejects(client.query("VACUUM INTO '/tmp/elsewhere.db'"), (e) => e.code === '42501')
  const notified = new Promise((resolve) => client.on('notification', resolve))
  await client.query('LISTEN node')
  const pool = new Pool({ connectionString: url, max: 4 })
  await Promise.all(Array.from({ length: 20 }, async (_, i) => {
    const { rows } = await pool.query({ name: 'get', text: 'SELECT name FROM js WHERE id = $1', values: [i + 1] })
    assert.strictEqual(rows[0].name, `n${i}`)
  }))
  await pool.query("NOTIFY node, 'hello'")
  assert.strictEqual((await notified).payload, 'hello')
  await pool.end()
  await client.end()
  console.log('node-postgres', require('pg/package.json').version)
}

main(process.argv[2]).catch((e) => { console.error(e); process.exit(1) })
