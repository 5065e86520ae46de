// A real application's moves, with node-postgres; the URL is the first argument.
const assert = require('assert')
const { Client, Pool } = require('pg')
const copy = require('pg-copy-streams')
const { pipeline } = require('stream/promises')
const { Readable } = require('stream')

async function main(url) {
  const client = new Client(url)
  await client.connect()
  for (const migration of [
    'CREATE TABLE node_user (id serial PRIMARY KEY, email text UNIQUE NOT NULL)',
    "ALTER TABLE node_user ADD COLUMN doc jsonb NOT NULL DEFAULT '{}'",
    'CREATE INDEX ON node_user USING gin (doc)',
  ]) {
    await client.query('BEGIN')
    await client.query(migration)
    await client.query('COMMIT')
  }
  for (let i = 0; i < 20; i++) {
    await client.query({ name: 'add', text: 'INSERT INTO node_user (email, doc) VALUES ($1, $2)', values: [`u${i}@x`, { i }] })
  }
  await client.query('BEGIN')
  await client.query("INSERT INTO node_user (email) VALUES ('lost@x')")
  await assert.rejects(client.query("INSERT INTO node_user (email) VALUES ('u1@x')"), (e) => e.code === '23505' && e.constraint === 'node_user_email_key')
  await client.query('ROLLBACK')
  const lines = Array.from({ length: 1000 }, (_, i) => `copied${i}@x\n`)
  await pipeline(Readable.from(lines), client.query(copy.from('COPY node_user (email) FROM STDIN')))
  let out = ''
  for await (const chunk of client.query(copy.to('COPY node_user (email) TO STDOUT'))) out += chunk
  assert.strictEqual(out.trim().split('\n').length, 1020)
  const notified = new Promise((resolve) => client.on('notification', resolve))
  await client.query('LISTEN node')
  // A pool beside it: the same names of statements in several sessions, and transactions in turn.
  const pool = new Pool({ connectionString: url, max: 4 })
  await Promise.all(Array.from({ length: 20 }, async (_, i) => {
    const c = await pool.connect()
    await c.query('BEGIN')
    const { rows } = await c.query({ name: 'add', text: 'SELECT $1::int + count(*)::int AS n FROM node_user', values: [i] })
    assert.strictEqual(rows[0].n, 1020 + i)
    await c.query('COMMIT')
    c.release()
  }))
  await pool.query("NOTIFY node, 'hello'")
  assert.strictEqual((await notified).payload, 'hello')
  await pool.end()
  await client.end()
  console.log('node-postgres', require('pg/package.json').version)
}

main(process.argv[2]).catch((e) => { console.error(e); process.exit(1) })
