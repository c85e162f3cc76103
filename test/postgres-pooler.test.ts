// PostgreSQL in the conformance suites, behind PgBouncer in transaction mode, where those who wait have to poll.
import t from 'tap'
import { httpConformance, storeConformance } from '../lib/conformance/index.js'
import { skipWithout, startPgBouncer, startPostgres } from './helpers/local-services.js'
import { conformanceOptions } from './helpers/postgres-scene.js'

t.test('PostgreSQL behind PgBouncer', { skip: skipWithout('postgres', 'initdb', 'pgbouncer') }, async (t) => {
  const pooler = await startPgBouncer(t, await startPostgres(t, { fsync: 'off' }))

  await t.test('as a store', async (t) => {
    for (const { name, run } of storeConformance(conformanceOptions(t, pooler, false))) await t.test(name, run)
  })

  await t.test('under the plugin', async (t) => {
    for (const { name, run } of httpConformance(conformanceOptions(t, pooler, false))) await t.test(name, run)
  })
})
