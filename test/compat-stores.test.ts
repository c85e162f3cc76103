// The compat plugin on every store: ours, which lock by themselves, and the published ones for express-session.
import { Redis } from 'ioredis'
import pg from 'pg'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Test, test } from 'tap'
import { type FastifySessionOptions, MemoryStore as CallbackMemoryStore } from '../lib/compat/index.js'
import { MemoryStore } from '../lib/index.js'
import { FileStore } from '../lib/stores/file/index.js'
import { MemcachedStore } from '../lib/stores/memcached/index.js'
import { PostgresStore } from '../lib/stores/postgres/index.js'
import { RedisStore } from '../lib/stores/redis/index.js'
import { counting, type Handler, plain, start, until } from './helpers/compat-server.js'
import { PUBLISHED } from './helpers/express-stores.js'
import { skipWithout, startMemcached, startPostgres, startRedis } from './helpers/local-services.js'

type Store = NonNullable<FastifySessionOptions['store']>

interface StoreUnderTest {
  skip: string | false
  /** Starts its server; returns what makes a store. */
  start (t: Test): Promise<() => Promise<Store>>
}

const ours: Record<string, StoreUnderTest> = {
  'the default store': { skip: false, start: async () => async () => new CallbackMemoryStore() },
  MemoryStore: { skip: false, start: async () => async () => new MemoryStore() },
  FileStore: { skip: false, start: async (t) => async () => new FileStore({ directory: t.testdir() }) },
  RedisStore: {
    skip: skipWithout('redis-server'),
    async start (t) {
      const { port } = await startRedis(t, ['--appendonly', 'no'])
      const client = new Redis({ port })
      t.teardown(() => client.disconnect())
      return async () => new RedisStore({ client })
    }
  },
  PostgresStore: {
    skip: skipWithout('postgres', 'initdb'),
    async start (t) {
      const { port } = await startPostgres(t, { fsync: 'off' })
      const pool = new pg.Pool({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' })
      pool.on('error', () => {})
      t.teardown(async () => { await pool.end() })
      return async () => new PostgresStore({ pool })
    }
  },
  MemcachedStore: {
    skip: skipWithout('memcached'),
    async start (t) {
      const { port } = await startMemcached(t)
      return async () => new MemcachedStore({ servers: `127.0.0.1:${port}` })
    }
  }
}

let gate: Promise<void> = Promise.resolve()

const routes: Record<string, Handler> = {
  ...counting,
  '/held': async (session) => {
    session.held = true
    await gate
    return { n: session.n }
  },
  '/short': (session) => { session.cookie.maxAge = 1200 },
  '/long': (session) => { session.cookie.maxAge = 3_600_000 }
}

for (const [name, { skip, start: startServer }] of Object.entries({ ...ours, ...PUBLISHED as unknown as typeof ours })) {
  test(`compat on ${name}`, { skip }, async (t) => {
    const makeStore = await startServer(t)
    const store = await makeStore()
    const { app, visitor } = await start(t, { ...plain, store }, routes)
    const isGone = async (cookie: string | null) => (await visitor(cookie).get('/n')).body.n === undefined

    await t.test('L1: 50 concurrent increments add up to 50', async (t) => {
      const one = visitor()
      await one.get('/increment')
      const answers = await Promise.all(Array.from({ length: 50 }, () => visitor(one.cookie).get('/increment')))
      t.same(answers.filter(answer => answer.status !== 200), [])
      t.equal((await one.get('/n')).body.n, 51)
    })

    await t.test('S2: a logout is not undone by the slow page it had to wait for, nor by one that waited for it', async (t) => {
      const one = visitor()
      await one.get('/increment')
      let open!: () => void
      gate = new Promise(resolve => { open = resolve })
      const slow = visitor(one.cookie).get('/held')
      await until(() => app.sessions.stats().locks.held === 1)
      const logout = visitor(one.cookie).get('/logout')
      await until(() => app.sessions.stats().locks.waiting === 1)
      const late = visitor(one.cookie).get('/held')
      await until(() => app.sessions.stats().locks.waiting === 2)
      open()
      t.match(await slow, { status: 200, body: { n: 1 } })
      t.equal((await logout).status, 200)
      t.same((await late).body, {}, 'found a new session')
      t.ok(await isGone(one.cookie))
    })

    await t.test('I4: the maxAge of one session counts, not the option', async (t) => {
      const day = visitor()
      await day.get('/increment')
      const { cookie } = day
      await day.get('/short')
      await sleep(1300)
      t.ok(await isGone(cookie))
    })
  })

  test(`compat on ${name}: a longer maxAge than the option says`, { skip }, async (t) => {
    const store = await (await startServer(t))()
    const { visitor } = await start(t, { ...plain, store, cookie: { secure: false, maxAge: 800 } }, routes)
    const [short, long] = [visitor(), visitor()]
    await Promise.all([short, long].map(one => one.get('/increment')))
    await long.get('/long')
    await sleep(1500)
    t.equal((await long.get('/n')).body.n, 1)
    t.equal((await short.get('/n')).body.n, undefined)
  })
}
