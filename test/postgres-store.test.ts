// PostgreSQL in the conformance suites, woken by notifications.
import t from 'tap'
import { httpConformance, storeConformance } from '../lib/conformance/index.js'
import { skipWithout, startPostgres } from './helpers/local-services.js'
import { conformanceOptions } from './helpers/postgres-scene.js'

t.test('PostgreSQL', { skip: skipWithout('postgres') }, async (t) => {
  const server = await startPostgres(t, { fsync: 'off' })

  await t.test('as a store', async (t) => {
    for (const { name, run } of storeConformance(conformanceOptions(t, server))) await t.test(name, run)
  })

  await t.test('under the plugin', async (t) => {
    for (const { name, run } of httpConformance(conformanceOptions(t, server))) await t.test(name, run)
  })
})
