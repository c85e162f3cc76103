// Stores of express-session, as they are published, in the conformance suites.
import connectPgSimple from 'connect-pg-simple'
import { RedisStore as ConnectRedis } from 'connect-redis'
import session from 'express-session'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import pg from 'pg'
import { createClient } from 'redis'
import sessionFileStore from 'session-file-store'
import t, { type Test } from 'tap'
import { type ConformanceOptions, httpConformance, storeConformance } from '../lib/conformance/index.js'
import type { Store } from '../lib/index.js'
import { type ExpressSessionStore, ExpressStore } from '../lib/stores/express/index.js'
import { FileStore } from '../lib/stores/file/index.js'
import { skipWithout, startPostgres, startRedis } from './helpers/local-services.js'

const base = t.testdir()
let folders = 0
const newFolder = () => join(base, String(folders++))

function suites (t: Test, options: ConformanceOptions): void {
  t.test('as a store', async (t) => {
    for (const { name, run } of storeConformance(options)) t.test(name, run)
  })
  t.test('under the plugin', async (t) => {
    for (const { name, run } of httpConformance(options)) t.test(name, run)
  })
}

t.test('MemoryStore of express-session', async (t) => {
  suites(t, { createStore: () => new ExpressStore({ store: new session.MemoryStore() }) })
})

t.test('MemoryStore of express-session, with the locks of a FileStore', async (t) => {
  const places = new WeakMap<Store, { store: ExpressSessionStore, directory: string }>()
  const open = (place: { store: ExpressSessionStore, directory: string }) => {
    const store = new ExpressStore({ store: place.store, lock: new FileStore({ directory: place.directory }) })
    places.set(store, place)
    return store
  }
  suites(t, {
    createStore: () => open({ store: new session.MemoryStore(), directory: newFolder() }),
    secondConnection: (store) => open(places.get(store)!)
  })
})

t.test('session-file-store', async (t) => {
  const SessionFileStore = sessionFileStore(session)
  suites(t, {
    createStore: () => new ExpressStore({ store: new SessionFileStore({ path: newFolder(), retries: 0, reapInterval: -1, logFn () {} }) }),
    listing: false
  })
})

t.test('connect-redis', { skip: skipWithout('redis-server') }, async (t) => {
  const redis = await startRedis(t, ['--appendonly', 'no'])
  const client = createClient({ url: `redis://127.0.0.1:${redis.port}` })
  client.on('error', () => {})
  await client.connect()
  t.teardown(() => client.destroy())
  suites(t, {
    createStore: () => new ExpressStore({ store: new ConnectRedis({ client, prefix: `${randomBytes(6).toString('hex')}:` }) })
  })
})

t.test('connect-pg-simple', { skip: skipWithout('postgres', 'initdb') }, async (t) => {
  const postgres = await startPostgres(t, { fsync: 'off' })
  const pool = new pg.Pool({ host: '127.0.0.1', port: postgres.port, user: 'postgres', database: 'postgres' })
  pool.on('error', () => {})
  t.teardown(async () => { await pool.end() })
  const PgStore = connectPgSimple(session)
  const PREFIX = 'sessions_'
  let tables = 0
  suites(t, {
    async createStore () {
      const tableName = `${PREFIX}${tables++}`
      await pool.query(`CREATE TABLE ${tableName} (sid varchar PRIMARY KEY, sess json NOT NULL, expire timestamp(6) NOT NULL)`)
      return new ExpressStore({ store: new PgStore({ pool, tableName, pruneSessionInterval: false }) })
    },
    listing: false
  })
})
