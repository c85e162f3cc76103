// What is particular to the PostgreSQL store: how many statements it takes, and what it does when connections or tables are not as they should be.
import { EventEmitter } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import sessionPlugin, { type Lease } from '../lib/index.js'
import { PostgresStore, type PostgresStoreOptions } from '../lib/stores/postgres/index.js'
import { skipWithout, startPgBouncer, startPostgres } from './helpers/local-services.js'
import { context, newKey, newPool, opened, record, Waiting, WatchedPool, waitFor } from './helpers/postgres-scene.js'

let tables = 0

async function newApp (t: Test, options: PostgresStoreOptions) {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(sessionPlugin, { store: new PostgresStore(options), cleanupInterval: 0 })
  app.get('/add', async (request) => {
    const n = Number(request.session.get('n', 0)) + 1
    request.session.set('n', n)
    await sleep(10)
    return { n }
  })
  app.get('/look', { config: { session: { locking: 'readonly' } } }, async request => ({ n: request.session.get('n', 0) }))
  await app.ready()
  return app
}

t.test('PostgreSQL', { skip: skipWithout('postgres') }, async (t) => {
  const server = await startPostgres(t, { fsync: 'off' })
  const newTable = () => `rules_${tables++}`

  await t.test('a request that writes takes 2 statements, one that reads 1, one without a cookie none', async (t) => {
    const pool = new WatchedPool(newPool(t, server))
    const app = await newApp(t, { pool, table: newTable() })
    const cookie = String((await app.inject('/add')).headers['set-cookie']).split(';')[0]!
    const taken = async (url: string, headers = {}) => {
      const before = pool.statements.length
      t.equal((await app.inject({ url, headers })).statusCode, 200)
      return pool.statements.length - before
    }
    t.equal(await taken('/add', { cookie }), 2)
    t.equal(await taken('/look', { cookie }), 1)
    t.equal(await taken('/look'), 0)
  })

  await t.test('20 contended requests from 4 stores lose nothing and take at most 2.5 statements each', async (t) => {
    const table = newTable()
    const pools = Array.from({ length: 4 }, () => new WatchedPool(newPool(t, server)))
    const apps = []
    for (const pool of pools) apps.push(await newApp(t, { pool, table }))
    const cookie = String((await apps[0]!.inject('/add')).headers['set-cookie']).split(';')[0]!
    for (const { statements } of pools) statements.length = 0
    const answers = await Promise.all(apps.flatMap(app => Array.from({ length: 5 }, () => app.inject({ url: '/add', headers: { cookie } }))))
    t.same(answers.map(answer => answer.json().n).sort((a, b) => a - b), Array.from({ length: 20 }, (_, n) => n + 2))
    const taken = pools.reduce((sum, { statements }) => sum + statements.length, 0)
    t.ok(taken <= 50, `${taken} statements`)
  })

  await t.test('nothing is notified while nobody waits', async (t) => {
    const table = newTable()
    const watched = new WatchedPool(newPool(t, server))
    const store = await opened(t, { pool: watched, table })
    const other = await opened(t, { pool: newPool(t, server), table })
    const channel = watched.statements.find(text => text.startsWith('LISTEN'))!
    const client = await newPool(t, server).connect()
    t.teardown(() => client.release(true))
    let heard = 0
    client.on('notification', () => { heard++ })
    await client.query(channel)
    const key = newKey()
    await store.create(key, record())
    for (const either of [store, other, store]) {
      await (await waitFor(either, new Waiting(key))).save(record(), { release: true })
      const lease = await waitFor(either, new Waiting(key))
      await lease.touch(record())
      await lease.release()
    }
    await client.query('SELECT 1')
    t.equal(heard, 0)
    const ends: Array<(lease: Lease) => unknown> = [
      lease => lease.release(),
      lease => lease.save(record(), { release: true }),
      lease => lease.touch(record(), { release: true })
    ]
    for (const [i, end] of ends.entries()) {
      const lease = await waitFor(other, new Waiting(key))
      const next = waitFor(store, new Waiting(key))
      await sleep(50)
      await end(lease)
      await (await next).release()
      await client.query('SELECT 1')
      t.equal(heard, i + 1, 'and once when somebody does')
    }
  })

  await t.test('L7: when the holder has died, who comes then stands behind those who wait', async (t) => {
    const table = newTable()
    const pool = newPool(t, server)
    const [first, second, third] = await Promise.all(Array.from({ length: 3 }, () => opened(t, { pool, table })))
    const key = newKey()
    await first!.create(key, record())
    await waitFor(first!, new Waiting(key))
    const early = new Waiting(key)
    t.match(await second!.acquire(early), { outcome: 'busy' })
    await pool.query(`UPDATE "${table}" SET lock_until = clock_timestamp() - interval '1 second'`)
    t.match(await third!.acquire(new Waiting(key)), { outcome: 'busy' })
    t.match(await second!.acquire(early), { outcome: 'granted' })
  })

  await t.test('200 wait on a pool of 5 connections: other queries get through, and all are served', async (t) => {
    const pool = newPool(t, server, 5)
    const store = await opened(t, { pool, table: newTable() })
    const key = newKey()
    await store.create(key, record())
    const holder = await waitFor(store, new Waiting(key))
    let served = 0
    const all = Promise.all(Array.from({ length: 200 }, async () => {
      const lease = await waitFor(store, new Waiting(key))
      const { n } = JSON.parse(String(lease.record.data))
      await lease.save(record({ data: JSON.stringify({ n: n + 1 }) }), { release: true })
      served++
    }))
    await sleep(300)
    t.same((await pool.query('SELECT 1 AS one')).rows, [{ one: 1 }])
    t.equal(served, 0)
    await holder.release()
    await all
    t.equal(JSON.parse(String((await store.read(key))!.data)).n, 200)
  })

  await t.test('names that are more than names, unknown options and a pool too small to listen are refused', async (t) => {
    const pool = newPool(t, server)
    for (const options of [{ pool, table: 'a"; DROP TABLE b; --' }, { pool, schema: 'a.b' }, { pool, tabel: 'a' }, {}, { pool: newPool(t, server, 1) }]) {
      t.throws(() => new PostgresStore(options as PostgresStoreOptions), { code: 'FST_SESSION_INVALID_OPTION' })
    }
    t.throws(() => PostgresStore.schema({ table: '"' }), { code: 'FST_SESSION_INVALID_OPTION' })
  })

  await t.test('C1: two that prune at once share the work, and leave locked sessions alone', async (t) => {
    const pool = newPool(t, server)
    const table = newTable()
    const stores = [await opened(t, { pool, table }), await opened(t, { pool, table })]
    const locked = newKey()
    await stores[0]!.create(locked, record())
    const lease = await waitFor(stores[0]!, new Waiting(locked))
    await lease.touch(record({ expiresAt: Date.now() - 1 }))
    await pool.query(`INSERT INTO "${table}" (key, data, is_text, created_at, last_accessed_at, expires_at, version)
      SELECT 'old' || n, '', true, 0, 0, 1, gen_random_uuid() FROM generate_series(1, 3000) AS n`)
    const results = await Promise.all(stores.map(store => store.prune()))
    t.equal(results.reduce((sum, { deleted }) => sum + deleted, 0), 3000)
    t.equal((await pool.query(`SELECT key FROM "${table}"`)).rows.length, 1)
    await lease.release()
  })

  await t.test('who waits gets the lock although the listening connection was cut, and the store listens again', async (t) => {
    const pool = newPool(t, server)
    const table = newTable()
    const watched = new WatchedPool(newPool(t, server))
    const store = await opened(t, { pool: watched, table })
    const other = await opened(t, { pool, table })
    const key = newKey()
    await store.create(key, record())
    const listens = () => watched.statements.filter(text => text.startsWith('LISTEN'))
    const holder = await waitFor(other, new Waiting(key))
    const next = waitFor(store, new Waiting(key))
    await sleep(50)
    const cut = await pool.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = $1', [listens()[0]])
    t.equal(cut.rows.length, 1)
    await holder.release()
    await (await next).release()
    for (const end = performance.now() + 10_000; listens().length < 2 && performance.now() < end;) await sleep(20)
    t.equal(listens().length, 2)
  })

  await t.test('the pool that was given stays open', async (t) => {
    const pool = newPool(t, server)
    const store = new PostgresStore({ pool, table: newTable() })
    await store.open(context)
    store.close()
    t.equal((await pool.query('SELECT 1')).rows.length, 1)
  })

  await t.test('S6: a pool that is ended under an open store ends; requests are answered 503, and the application closes', async (t) => {
    const pool = newPool(t, server)
    const app = await newApp(t, { pool, table: newTable() })
    const cookie = String((await app.inject('/add')).headers['set-cookie']).split(';')[0]!
    await pool.end()
    t.match((await app.inject({ url: '/add', headers: { cookie } })).json(), { statusCode: 503, code: 'FST_SESSION_STORE_UNAVAILABLE' })
    await app.close()
  })

  await t.test('S6: a connection that breaks in the moment it is made is an unavailable store, no end of the process', async (t) => {
    class Client extends EventEmitter {
      async query (): Promise<never> { throw new Error('the connection is broken') }
      release (): void {}
    }
    class Pool extends EventEmitter {
      async connect (): Promise<Client> {
        const client = new Client()
        this.emit('connect', client)
        client.emit('error', new Error('terminating connection'))
        return client
      }
    }
    const store = new PostgresStore({ pool: new Pool() })
    await t.rejects(store.read(newKey()), { code: 'FST_SESSION_STORE_UNAVAILABLE', cause: { message: 'the connection is broken' } })
  })

  await t.test('a statement that is sent twice counts once', async (t) => {
    const pool = new WatchedPool(newPool(t, server))
    const store = await opened(t, { pool, table: newTable() })
    pool.twice = true
    const key = newKey()
    await store.create(key, record())
    for (let n = 1; n <= 3; n++) {
      const lease = await waitFor(store, new Waiting(key))
      t.equal(JSON.parse(String(lease.record.data)).n, n - 1)
      await lease.save(record({ data: JSON.stringify({ n }) }), { release: true })
    }
    await (await waitFor(store, new Waiting(key))).touch(record(), { release: true })
    const holder = await waitFor(store, new Waiting(key))
    const next = waitFor(store, new Waiting(key))
    await sleep(50)
    await holder.save(record({ data: '{"n":9}' }), { release: true })
    const lease = await next
    t.equal(JSON.parse(String(lease.record.data)).n, 9)
    await lease.release()
  })

  await t.test('who gives up while the server is being asked for it does not stay in the queue', async (t) => {
    const pool = new WatchedPool(newPool(t, server))
    const store = await opened(t, { pool, table: newTable() })
    const key = newKey()
    await store.create(key, record())
    const holder = await waitFor(store, new Waiting(key))
    const leaver = new Waiting(key)
    t.equal((await store.acquire(leaver))?.outcome, 'busy')
    // Two connections keep no order: the question arrives after the cancellation.
    const cancelled = new Promise<void>((resolve) => { pool.before = async (text) => { if (text.includes('queued AS')) await sleep(50).then(resolve) } })
    const asked = store.acquire(leaver)
    await store.cancel(leaver)
    await cancelled
    t.equal((await asked)?.outcome, 'busy')
    pool.before = () => {}
    await store.cancel(leaver)
    await holder.release()
    t.equal((await store.acquire(new Waiting(key)))?.outcome, 'granted')
  })

  await t.test('a lock is kept alive beyond its lease, but not beyond maxHold', async (t) => {
    const pool = newPool(t, server)
    const store = await opened(t, { pool, table: newTable(), lease: 300 })
    const key = newKey()
    await store.create(key, record())
    const since = performance.now()
    await waitFor(store, new Waiting(key, 1500))
    await sleep(900)
    t.equal((await store.acquire(new Waiting(key)))?.outcome, 'busy')
    await waitFor(store, new Waiting(key))
    t.ok(performance.now() - since >= 1400)
  })

  await t.test('a record over maxRecordSize is refused, and leaves nobody locked out', async (t) => {
    const pool = newPool(t, server)
    const table = newTable()
    const store = await opened(t, { pool, table })
    const small = new PostgresStore({ pool, table })
    await small.open({ ...context, maxRecordSize: 100 })
    t.teardown(() => small.close())
    const key = newKey()
    await store.create(key, record({ data: 'x'.repeat(101) }))
    await t.rejects(small.read(key), { code: 'FST_SESSION_TOO_LARGE' })
    await t.rejects(async () => await small.acquire(new Waiting(key)), { code: 'FST_SESSION_TOO_LARGE' })
    await (await waitFor(store, new Waiting(key))).release()
  })

  await t.test('S6: an exhausted pool is an unavailable store, and what was refused does not happen later', async (t) => {
    const pool = newPool(t, server, 1)
    const store = await opened(t, { pool, table: newTable(), listen: false, timeout: 300 })
    const key = newKey()
    await store.create(key, record())
    const lease = await waitFor(store, new Waiting(key))
    const client = await pool.connect()
    await t.rejects(lease.save(record({ data: 'late' }), { release: true }) as Promise<void>, { code: 'FST_SESSION_STORE_UNAVAILABLE' })
    await t.rejects(store.read(key), { code: 'FST_SESSION_STORE_UNAVAILABLE' })
    client.release()
    await lease.release()
    t.equal((await store.read(key))!.data, '{"n":0}')
  })

  await t.test('behind a pooler in transaction mode the store finds out, says so and polls', { skip: skipWithout('pgbouncer') }, async (t) => {
    const pooler = await startPgBouncer(t, server)
    const warnings: string[] = []
    const store = new PostgresStore({ pool: newPool(t, pooler), table: newTable() })
    await store.open({ ...context, log: { ...context.log, warn: (_details, message) => { warnings.push(message) } } })
    t.teardown(() => store.close())
    t.equal(warnings.length, 1)
    const key = newKey()
    await store.create(key, record())
    const holder = await waitFor(store, new Waiting(key))
    const next = waitFor(store, new Waiting(key))
    await holder.release()
    await (await next).release()
  })

  await t.test('S6: a server that is gone or silent is an unavailable store; it works again when the server does', async (t) => {
    const own = await startPostgres(t, { fsync: 'off' })
    const store = await opened(t, { pool: newPool(t, own), table: newTable(), timeout: 500 })
    const key = newKey()
    await store.create(key, record())
    await own.freeze()
    // Only the postmaster is frozen: connections that exist go on, new ones get no answer.
    await t.rejects(Promise.all(Array.from({ length: 5 }, () => store.read(key))), { code: 'FST_SESSION_STORE_UNAVAILABLE' })
    own.thaw()
    await own.stop('SIGINT')
    await t.rejects(store.read(key), { code: 'FST_SESSION_STORE_UNAVAILABLE' })
    await own.restart()
    let found = null
    for (let tries = 0; found === null && tries < 100; tries++) {
      found = await store.read(key).catch(() => null)
      if (found === null) await sleep(50)
    }
    t.ok(found !== null)
    await (await waitFor(store, new Waiting(key))).release()
  })
})
