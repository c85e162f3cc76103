// Requests of one process that wait for one session: the lock goes from one to the next without a word to the server.
import Fastify, { type FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import pg from 'pg'
import t, { type Test } from 'tap'
import { granted, lock, newKey, TestTicket } from '../lib/conformance/store/store-scene.js'
import sessionPlugin, { type Lease, type Store } from '../lib/index.js'
import { PostgresStore } from '../lib/stores/postgres/index.js'
import { RedisStore } from '../lib/stores/redis/index.js'
import { type Service, skipWithout, startPostgres, startRedis } from './helpers/local-services.js'

const context = { now: Date.now, maxRecordSize: 1024 * 1024, log: { debug () {}, warn () {}, error () {} } }

/** A store, and how many commands or statements it has sent so far. */
interface Counted { store: Store, sent: () => number }

const kinds = {
  Redis: {
    skip: skipWithout('redis-server'),
    start: startRedis,
    store (t: Test, { port }: Service, lease?: number): Counted {
      const client = new Redis({ port })
      t.teardown(() => client.disconnect())
      let sent = 0
      const { evalshaBuffer } = client as unknown as { evalshaBuffer: (...args: unknown[]) => Promise<unknown> }
      Object.assign(client, { evalshaBuffer (...args: unknown[]) { sent++; return evalshaBuffer.apply(client, args) } })
      return { store: new RedisStore({ client, ...(lease !== undefined && { lease }) }), sent: () => sent }
    }
  },
  PostgreSQL: {
    skip: skipWithout('postgres'),
    start: startPostgres,
    store (t: Test, { port }: Service, lease?: number): Counted {
      const pool = new pg.Pool({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' })
      pool.on('error', () => {})
      t.teardown(() => pool.end())
      let sent = 0
      const connect = async () => {
        sent++ // One statement for each use of a connection, once the store is open.
        return await pool.connect()
      }
      return { store: new PostgresStore({ pool: { connect }, ...(lease !== undefined && { lease }) }), sent: () => sent }
    }
  }
}

for (const [name, kind] of Object.entries(kinds)) {
  t.test(name, { skip: kind.skip }, async (t) => {
    const server = await kind.start(t)

    await t.test('40 requests of one process on one session take one step each, as nobody else waits', async (t) => {
      const { store, sent } = kind.store(t, server)
      const { app, cookies } = await counter(t, store)
      const before = sent()
      const answers = await Promise.all(Array.from({ length: 40 }, () => app.inject({ url: '/add', cookies })))
      t.same(answers.map(answer => answer.json().n).sort((a, b) => a - b), Array.from({ length: 40 }, (_, n) => n + 2))
      t.ok(sent() - before <= 44, `${sent() - before} steps`)
      const { acquired, released, held } = app.sessions.stats().locks
      t.same([released, held], [acquired, 0])
    })

    await t.test('requests that change nothing take less than one', async (t) => {
      const { store, sent } = kind.store(t, server)
      const { app, cookies } = await counter(t, store)
      const before = sent()
      await Promise.all(Array.from({ length: 40 }, () => app.inject({ url: '/look', cookies })))
      t.ok(sent() - before <= 24, `${sent() - before} steps`)
    })

    await t.test('L7 while a process has much to do, another one gets its turns', async (t) => {
      const busy = await counter(t, kind.store(t, server).store)
      const other = await counter(t, kind.store(t, server).store)
      const { cookies } = busy
      const crowd = Array.from({ length: 45 }, () => busy.app.inject({ url: '/add', cookies }))
      const turns = []
      for (let i = 0; i < 5; i++) turns.push((await other.app.inject({ url: '/add', cookies })).json().n)
      const last = Math.max(...(await Promise.all(crowd)).map(answer => answer.json().n))
      // Were it to wait for the crowd, its first turn would be number 47.
      t.ok(turns.every(n => n < last) && turns[0] <= 20, `turns ${turns.join(' ')} of ${last}`)
    })

    await t.test('L7 nor do those who only read keep it out, of whom the server hears nothing', async (t) => {
      const { app, cookies } = await counter(t, kind.store(t, server).store)
      const other = await counter(t, kind.store(t, server).store)
      let served = 0
      const ask = async (url: string): Promise<void> => { t.equal((await app.inject({ url, cookies })).statusCode, 200) }
      const writer = ask('/add') // It will hear that nobody waits.
      const crowd = Array.from({ length: 45 }, async () => {
        await ask('/read')
        served++
      })
      await writer
      await other.app.inject({ url: '/add', cookies })
      t.ok(served < 30, `${served} of 45 were served before`)
      await Promise.all(crowd)
    })

    await t.test('S1 a lock that may be lost is not passed on', async (t) => {
      const one = kind.store(t, server, 300).store
      const other = kind.store(t, server, 300).store
      for (const store of [one, other]) {
        await store.open!(context)
        t.teardown(() => store.close!())
      }
      const key = newKey()
      await one.create(key, { ...newRecord(), data: '1' })

      const stalled = await lock(one, key)
      block(400) // No heartbeat, and the server has given up on us.
      t.equal(stalled.pass!(new TestTicket(key)), null)
      stalled.lapse() // Or its next heartbeat might be quicker than those who wait.
      const next = await lock(other, key)
      await next.save({ ...newRecord(), data: '2' }, { release: true })
      await t.rejects(async () => await stalled.save({ ...newRecord(), data: '3' }), { code: 'FST_SESSION_LOCK_LOST' })
      t.equal(stalled.pass!(new TestTicket(key)), null)
      await stalled.release()
      t.equal((await one.read(key))?.data, '2')
    })

    await t.test('a lease that is passed on lives longer than a lease, as its heartbeat goes on', async (t) => {
      const { store } = kind.store(t, server, 300)
      const other = kind.store(t, server, 300).store
      for (const each of [store, other]) {
        await each.open!(context)
        t.teardown(() => each.close!())
      }
      const key = newKey()
      await store.create(key, newRecord())
      let lease: Lease = await lock(store, key)
      for (let i = 0; i < 10; i++) {
        await new Promise(resolve => setTimeout(resolve, 100))
        lease = granted(lease.pass!(new TestTicket(key)))
        t.equal((await other.acquire(new TestTicket(key)))?.outcome, 'busy')
      }
      await lease.save({ ...newRecord(), data: '2' }, { release: true })
      t.equal((await store.read(key))?.data, '2')
    })
  })
}

/** An application that counts, and the cookie of a session in it. */
async function counter (t: Test, store: Store): Promise<{ app: FastifyInstance, cookies: { sessionId: string } }> {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(sessionPlugin, { store, cleanupInterval: 0 })
  app.get('/add', async ({ session }) => {
    const n = session.get('n', 0) + 1
    await new Promise(resolve => setTimeout(resolve, 2))
    session.set('n', n)
    return { n }
  })
  app.get('/read', async ({ session }) => {
    await new Promise(resolve => setTimeout(resolve, 2))
    return { n: session.get('n', 0) }
  })
  app.get('/look', async ({ session }) => ({ n: session.get('n', 0) }))
  return { app, cookies: { sessionId: (await app.inject('/add')).cookies[0]!.value } }
}

function newRecord () {
  const now = Date.now()
  return { data: '{"n":1}', user: null, createdAt: now, lastAccessedAt: now, expiresAt: now + 60_000 }
}

/** Keeps the whole process busy. */
function block (ms: number): void {
  for (const end = performance.now() + ms; performance.now() < end;);
}
