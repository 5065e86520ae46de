// The other side of the embed benchmarks: PGlite in node.
//
//   node pglite.mjs socket PATH    serves one database on a unix socket by pglite-socket
//   node pglite.mjs direct         runs what it is asked for on stdin, a line of JSON each
//   node pglite.mjs start [DIR]    opens a database, asks it one question, and ends
//
// An answer is a line of JSON: {"ms": …}, {"error": …} or {"ready": true}.
import { PGlite } from '@electric-sql/pglite'
import { createInterface } from 'node:readline'
import process from 'node:process'

const say = (x) => process.stdout.write(JSON.stringify(x) + '\n')
const [mode, where] = process.argv.slice(2)

if (mode === 'start') {
  const db = await PGlite.create(where)
  const r = await db.query('select count(*)::int as n from pg_class')
  if (!(r.rows[0].n > 100)) throw new Error('no answer')
  await db.close()
  process.exit(0)
}

const db = await PGlite.create()

if (mode === 'socket') {
  const { PGLiteSocketServer } = await import('@electric-sql/pglite-socket')
  const server = new PGLiteSocketServer({ db, path: where })
  await server.start()
  say({ ready: true })
  process.stdin.on('end', () => process.exit(0))
  process.stdin.resume()
} else {
  const rows = Array.from({ length: 100000 }, (_, i) => `${i}\tsome text row ${i}\n`).join('')
  const steps = {
    'select 1': () => db.query('select 1'),
    '1000 inserts in 1 transaction': () => db.transaction(async (tx) => {
      for (let i = 0; i < 1000; i++) await tx.query('insert into b1 values ($1, $2)', [i, 'v'])
    }),
    'copy 100k in': () => db.query("copy b3 from '/dev/blob'", [], { blob: new Blob([rows]) }),
    'fetch 100k': async () => {
      const r = await db.query('select * from b2')
      if (r.rows.length !== 100000) throw new Error(`${r.rows.length} rows`)
    },
    '500 errors': async () => {
      for (let i = 0; i < 500; i++) {
        try { await db.query('select 1/0') } catch (e) { if (e.code === '22012') continue; throw e }
        throw new Error('no error')
      }
    },
    'clone': async () => {
      const c = await db.clone()
      await c.query('select count(*) from b1')
      await c.close()
    },
    'further instances': async () => {
      const before = process.memoryUsage().rss
      const list = []
      for (let i = 0; i < 3; i++) {
        list.push(await PGlite.create())
        await list[i].query('select version()')
      }
      const mb = (process.memoryUsage().rss - before) / 3 / 1e6
      for (const c of list) await c.close()
      return mb
    },
  }
  say({ ready: true })
  for await (const line of createInterface({ input: process.stdin })) {
    const { step, sql } = JSON.parse(line)
    try {
      const begin = performance.now()
      const value = await (sql ? db.exec(sql) : steps[step]())
      say({ ms: performance.now() - begin, value: typeof value === 'number' ? value : undefined })
    } catch (e) {
      say({ error: String(e) })
    }
  }
  process.exit(0)
}
