// A real pool of pg with connections that are not: what the PostgreSQL store makes of late, double and missing answers.
import { EventEmitter } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import t, { type Test } from 'tap'
import { type PgPool, PostgresStore } from '../lib/stores/postgres/index.js'
import { codeOf } from './helpers/crowd.js'
import { newKey, Waiting } from './helpers/postgres-scene.js'

type Callback = (error: unknown, value?: unknown) => void

/** Connects at once. `answer` says what becomes of a statement. */
function poolOf (t: Test, answer: (callback: Callback) => unknown, max = 1): pg.Pool {
  class Client extends EventEmitter {
    readonly _queryable = true
    connect (callback: Callback): void { setImmediate(callback, null) }
    query (_statement: unknown, _values: unknown, callback: Callback): unknown { return answer(callback) }
    end (callback?: () => void): void { callback?.() }
  }
  const pool = new pg.Pool({ max, Client } as unknown as pg.PoolConfig)
  pool.on('error', () => {})
  t.teardown(async () => { await pool.end() })
  return pool
}

// The timers of the store do not keep a process alive.
const alive = setInterval(() => {}, 1000)
t.teardown(() => { clearInterval(alive) })

const UNAVAILABLE = 'FST_SESSION_STORE_UNAVAILABLE'

t.test('S6: many who gave up while the pool was exhausted do no harm when it has connections again', async (t) => {
  let hangs = true
  const pool = poolOf(t, (callback) => { if (!hangs) setImmediate(callback, null, { rows: [], rowCount: 0 }) })
  const store = new PostgresStore({ pool, timeout: 2000, listen: false })
  const codes = await Promise.all(Array.from({ length: 30_000 }, async () => await codeOf(() => store.read(newKey()))))
  t.same(new Set(codes), new Set([UNAVAILABLE]))
  hangs = false
  t.equal(await store.read(newKey()), null)
  t.equal(pool.waitingCount, 0)
})

t.test('one timer watches over all statements, also when giving up sends more of them', async (t) => {
  const store = new PostgresStore({ pool: poolOf(t, () => {}), timeout: 50, listen: false })
  const timers = t.capture(globalThis, 'setTimeout', globalThis.setTimeout)
  const asked = []
  for (let i = 0; i < 60; i++) {
    asked.push(codeOf(() => store.acquire(new Waiting(newKey()))))
    await sleep(5)
  }
  await Promise.all(asked)
  const made = timers().filter(({ args: [, ms] }) => Number(ms) <= 50).length
  t.ok(made < 500, `${made} timers for 120 statements`)
})

t.test('a pool that calls back and answers with a promise as well is used once', async (t) => {
  let statements = 0
  const pool = poolOf(t, (callback) => {
    statements++
    setImmediate(callback, null, { rows: [], rowCount: 0 })
  })
  const connect: PgPool['connect'] = callback => new Promise((resolve) => {
    pool.connect((error, client) => {
      callback(error, client as never)
      resolve(client)
    })
  })
  const store = new PostgresStore({ pool: { connect }, listen: false })
  t.equal(await store.read(newKey()), null)
  t.equal(await store.read(newKey()), null)
  t.equal(statements, 2)
  t.equal(pool.idleCount, 1)
})

for (const [what, answer] of Object.entries<(callback: Callback) => unknown>({
  'throws at once': () => { throw new Error('broken') },
  'rejects without a reason': async () => await Promise.reject(), // eslint-disable-line prefer-promise-reject-errors
  'calls back with an error': (callback) => { setImmediate(callback, new Error('broken')) }
})) {
  t.test(`S6: a connection that ${what} is an unavailable store, and is not used again`, async (t) => {
    const pool = poolOf(t, answer)
    const store = new PostgresStore({ pool, listen: false })
    t.equal(await codeOf(() => store.read(newKey())), UNAVAILABLE)
    t.equal(await codeOf(() => store.read(newKey())), UNAVAILABLE)
    t.equal(pool.totalCount, 0)
  })
}

for (const [what, connect] of Object.entries<PgPool['connect']>({
  'throws at once': () => { throw new Error('broken') },
  'rejects without a reason': async () => await Promise.reject(), // eslint-disable-line prefer-promise-reject-errors
  'calls back with nothing': (callback) => { setImmediate(callback, null) }
})) {
  t.test(`S6: a pool that ${what} is an unavailable store`, async (t) => {
    const store = new PostgresStore({ pool: { connect }, listen: false })
    t.equal(await codeOf(() => store.read(newKey())), UNAVAILABLE)
  })
}
