// The table of the PostgreSQL store: made, brought up to date, checked; and what an update costs in it.
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import t from 'tap'
import { PostgresStore, type PostgresStoreOptions } from '../lib/stores/postgres/index.js'
import { skipWithout, startPostgres } from './helpers/local-services.js'
import { context, newKey, newPool, opened, record, Waiting, waitFor } from './helpers/postgres-scene.js'

const TEN_MINUTES = 600_000
let tables = 0
const newTable = () => `table_${tables++}`

/** As it once was: columns are missing, and the expiry itself is indexed. */
const older = (table: string) => `CREATE TABLE "${table}" (key text COLLATE "C" PRIMARY KEY, data bytea NOT NULL, is_text boolean NOT NULL, user_name text,
  created_at bigint NOT NULL, last_accessed_at bigint NOT NULL, expires_at bigint NOT NULL, version uuid NOT NULL, lock_token uuid, lock_until timestamptz);
CREATE INDEX "${table}_expires_at" ON "${table}" (expires_at)`

const insert = (table: string, key: string) => `INSERT INTO "${table}" (key, data, is_text, user_name, created_at, last_accessed_at, expires_at, version)
  VALUES ('${key}', '{"n":7}', true, 'ann', 1, 2, ${Date.now() + 3_600_000}, gen_random_uuid())`

async function indexesOf (pool: pg.Pool, table: string): Promise<string[]> {
  return (await pool.query('SELECT indexname FROM pg_indexes WHERE tablename = $1 ORDER BY 1', [table])).rows.map(row => row.indexname)
}

/** The error with which it does not open. */
async function refusal (options: PostgresStoreOptions): Promise<{ code: string, message: string }> {
  const store = new PostgresStore(options)
  try {
    await store.open(context)
  } catch (error) {
    return error as { code: string, message: string }
  }
  store.close()
  return { code: 'it has opened', message: '' }
}

t.test('the table of the PostgreSQL store', { skip: skipWithout('postgres', 'initdb') }, async (t) => {
  const server = await startPostgres(t, { fsync: 'off' })
  const pool = newPool(t, server)

  for (const count of [2, 8]) {
    await t.test(`${count} stores that open at once make one table`, async (t) => {
      const table = newTable()
      const stores = await Promise.all(Array.from({ length: count }, () => opened(t, { pool: newPool(t, server, 2), table, schema: 'public' })))
      const key = newKey()
      await stores[0]!.create(key, record())
      for (const store of stores) t.ok(await store.read(key))
      t.same(await indexesOf(pool, table), [`${table}_pkey`, `${table}_prune_from`])
    })

    await t.test(`${count} stores that open at once bring an older table up to date, and its sessions stay`, async (t) => {
      const table = newTable()
      await pool.query(older(table))
      const keys = Array.from({ length: 20 }, newKey)
      for (const key of keys) await pool.query(insert(table, key))
      const token = '00000000-0000-4000-8000-000000000000'
      await pool.query(`UPDATE "${table}" SET lock_token = '${token}', lock_until = now() + interval '1 hour' WHERE key = $1`, [keys[0]])
      const stores = await Promise.all(Array.from({ length: count }, () => opened(t, { pool: newPool(t, server, 2), table })))
      t.same(await indexesOf(pool, table), [`${table}_pkey`, `${table}_prune_from`])
      t.equal(await stores[1]!.count(), 20)
      t.match(await stores[1]!.read(keys[1]!), { data: '{"n":7}', user: 'ann', createdAt: 1, lastAccessedAt: 2 })
      t.equal((await stores[0]!.acquire(new Waiting(keys[0]!)))?.outcome, 'busy', 'a lock stays, too')
      for (const [n, key] of keys.slice(1).entries()) await (await waitFor(stores[n % count]!, new Waiting(key))).save(record(), { release: true })
    })
  }

  await t.test('an index that is missing is made', async (t) => {
    const table = newTable()
    await pool.query(PostgresStore.schema({ table }))
    await pool.query(`DROP INDEX "${table}_prune_from"`)
    t.match(await refusal({ pool, table, createTable: false }), { code: 'FST_SESSION_INVALID_OPTION', message: /CREATE INDEX/ })
    await opened(t, { pool, table })
    t.same(await indexesOf(pool, table), [`${table}_pkey`, `${table}_prune_from`])
  })

  await t.test('createTable: false changes nothing, and refuses with the SQL that helps', async (t) => {
    const [missing, old] = [newTable(), newTable()]
    await pool.query(older(old))
    const key = newKey()
    await pool.query(insert(old, key))
    for (const table of [missing, old]) {
      const { code, message } = await refusal({ pool, table, createTable: false })
      t.equal(code, 'FST_SESSION_INVALID_OPTION')
      t.equal((await refusal({ pool, table, createTable: false })).message, message, 'it is as it was')
      await pool.query(message.slice(message.indexOf('CREATE TABLE')))
      await opened(t, { pool, table, createTable: false })
    }
    t.equal((await (await opened(t, { pool, table: old })).read(key))?.data, '{"n":7}')
  })

  await t.test('what schema() prints may be run again, and on an older table', async (t) => {
    const table = newTable()
    await pool.query(older(table))
    for (let times = 0; times < 2; times++) await pool.query(PostgresStore.schema({ table }))
    await opened(t, { pool, table, createTable: false })
  })

  await t.test('a table of something else is refused and left as it is', async (t) => {
    const wrong: Array<(table: string) => string> = [
      table => `CREATE TABLE "${table}" (sid varchar PRIMARY KEY, sess json, expire timestamp)`,
      table => `${older(table)}; ALTER TABLE "${table}" ALTER data TYPE text`,
      table => `${older(table)}; ALTER TABLE "${table}" DROP CONSTRAINT "${table}_pkey"`
    ]
    const columns = 'SELECT attname FROM pg_attribute WHERE attrelid = to_regclass($1) ORDER BY 1'
    for (const sql of wrong) {
      const table = newTable()
      await pool.query(sql(table))
      const before = (await pool.query(columns, [table])).rows
      t.equal((await refusal({ pool, table })).code, 'FST_SESSION_INVALID_OPTION')
      t.same((await pool.query(columns, [table])).rows, before)
    }
  })

  await t.test('a role that may create nothing uses a table that is there, and is told what to run when it is not', async (t) => {
    const table = newTable()
    await pool.query(`REVOKE CREATE ON SCHEMA public FROM PUBLIC; CREATE ROLE "${table}" LOGIN`)
    const poor = newPool(t, server, 5, table)
    for (const createTable of [true, false]) {
      const { code, message } = await refusal({ pool: poor, table, createTable })
      t.equal(code, 'FST_SESSION_INVALID_OPTION')
      t.ok(message.includes(PostgresStore.schema({ table })))
    }
    await pool.query(`${PostgresStore.schema({ table })} GRANT SELECT, INSERT, UPDATE, DELETE ON "${table}" TO "${table}"`)
    for (const createTable of [true, false]) {
      const store = await opened(t, { pool: poor, table, createTable })
      const key = newKey()
      await store.create(key, record())
      await (await waitFor(store, new Waiting(key))).save(record(), { release: true })
      await store.prune()
    }
  })

  await t.test('open() gives up on a table that somebody else keeps busy, so that requests do not wait behind it', async (t) => {
    const table = newTable()
    await pool.query(older(table))
    const backup = await pool.connect()
    await backup.query(`BEGIN; LOCK TABLE "${table}" IN ACCESS SHARE MODE`)
    t.equal((await refusal({ pool, table })).code, 'FST_SESSION_STORE_UNAVAILABLE')
    await backup.query('ROLLBACK')
    backup.release()
    await opened(t, { pool, table })
  })

  await t.test('saves and touches that move the expiry are HOT: they write to no index', async (t) => {
    const table = newTable()
    const own = newPool(t, server)
    const store = await opened(t, { pool: own, table, listen: false })
    const key = newKey()
    // Beyond the next step of the index, so that no step is within the test.
    const expiresAt = (Math.floor(Date.now() / TEN_MINUTES) + 2) * TEN_MINUTES
    await store.create(key, record({ expiresAt }))
    for (let n = 1; n <= 50; n++) {
      const lease = await waitFor(store, new Waiting(key))
      if (n % 2 === 0) await lease.save(record({ expiresAt: expiresAt + n }), { release: true })
      else await lease.touch({ lastAccessedAt: Date.now(), expiresAt: expiresAt + n }, { release: true })
    }
    t.equal((await store.read(key))?.expiresAt, expiresAt + 50)
    // At their end, connections report what they have done.
    await own.end()
    let counted = { updates: 0, hot: 0 }
    for (const end = performance.now() + 20_000; counted.updates < 100 && performance.now() < end; await sleep(50)) {
      counted = (await pool.query('SELECT n_tup_upd::int AS updates, n_tup_hot_upd::int AS hot FROM pg_stat_user_tables WHERE relname = $1', [table])).rows[0]
    }
    t.equal(counted.updates, 100)
    t.ok(counted.hot >= 90, `${counted.hot} of 100`)
  })

  await t.test('C1: of sessions that end within the same minutes, only those are deleted that have expired', async (t) => {
    const table = newTable()
    const store = new PostgresStore({ pool, table })
    let now = 10 * TEN_MINUTES
    await store.open({ ...context, now: () => now })
    t.teardown(() => store.close())
    for (const expiresAt of [now + 1, now + 2, now + 3, now + TEN_MINUTES]) await store.create(newKey(), record({ expiresAt }))
    now += 2
    t.same(await store.prune(), { deleted: 2, remaining: 2 })
  })
})
