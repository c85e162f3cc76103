// PostgreSQL in the conformance suites: woken by notifications, and polling behind a pooler in transaction mode.
import pg from 'pg'
import t, { type Test } from 'tap'
import { type ConformanceOptions, httpConformance, storeConformance } from '../lib/conformance/index.js'
import type { Store } from '../lib/index.js'
import { PostgresStore } from '../lib/stores/postgres/index.js'
import { type Service, skipWithout, startPgBouncer, startPostgres } from './helpers/local-services.js'

let tables = 0

/** A table for each case; stores on the same table share one pool, which all cases do. */
function optionsFor (t: Test, { port }: Service, listen: boolean): ConformanceOptions {
  const pool = new pg.Pool({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres', max: 20 })
  pool.on('error', () => {})
  t.teardown(() => pool.end())
  const names = new WeakMap<Store, string>()
  const open = (table: string) => {
    const store = new PostgresStore({ pool, table, listen })
    names.set(store, table)
    return store
  }
  return {
    createStore: () => open(`sessions_${tables++}`),
    secondConnection: store => open(names.get(store)!)
  }
}

t.test('PostgreSQL', { skip: skipWithout('postgres') }, async (t) => {
  const server = await startPostgres(t, { fsync: 'off' })

  await t.test('woken by notifications, as a store', async (t) => {
    for (const { name, run } of storeConformance(optionsFor(t, server, true))) await t.test(name, run)
  })

  await t.test('woken by notifications, under the plugin', async (t) => {
    for (const { name, run } of httpConformance(optionsFor(t, server, true))) await t.test(name, run)
  })

  await t.test('polling through PgBouncer', { skip: skipWithout('pgbouncer') }, async (t) => {
    const pooler = await startPgBouncer(t, server)
    await t.test('as a store', async (t) => {
      for (const { name, run } of storeConformance(optionsFor(t, pooler, false))) await t.test(name, run)
    })

    await t.test('under the plugin', async (t) => {
      for (const { name, run } of httpConformance(optionsFor(t, pooler, false))) await t.test(name, run)
    })
  })
})
