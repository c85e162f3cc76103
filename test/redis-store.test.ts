// The Redis store in the conformance suites, through each of the clients it takes.
import { Redis } from 'ioredis'
import { Redis as Valkey } from 'iovalkey'
import { createClient } from 'redis'
import t from 'tap'
import { type ConformanceOptions, httpConformance, storeConformance } from '../lib/conformance/index.js'
import type { Store } from '../lib/index.js'
import { RedisStore, type RedisStoreOptions } from '../lib/stores/redis/index.js'
import { skipWithout, startRedis } from './helpers/local-services.js'

const skip = skipWithout('redis-server')
let cases = 0

function optionsFor (client: RedisStoreOptions['client'], admin: Redis): ConformanceOptions {
  const prefixes = new WeakMap<Store, string>()
  const open = (prefix: string) => {
    const store = new RedisStore({ client, prefix })
    prefixes.set(store, prefix)
    return store
  }
  return {
    createStore: () => open(`case${++cases}:`),
    secondConnection: store => open(prefixes.get(store)!),
    spoil: async (store, key) => { await admin.set(`${prefixes.get(store)}{${key}}`, 'spoilt by the test') }
  }
}

t.test('with ioredis', { skip }, async (t) => {
  const { port } = await startRedis(t, ['--appendfsync', 'no'])
  const client = new Redis({ port })
  t.teardown(() => client.disconnect())
  const options = optionsFor(client, client)
  await t.test('as a store', async (t) => {
    for (const { name, run } of storeConformance(options)) await t.test(name, run)
  })
  await t.test('under the plugin', async (t) => {
    for (const { name, run } of httpConformance(options)) await t.test(name, run)
  })
})

t.test('with iovalkey, as a store', { skip }, async (t) => {
  const { port } = await startRedis(t, ['--appendfsync', 'no'])
  const admin = new Redis({ port })
  const client = new Valkey({ port })
  t.teardown(() => { admin.disconnect(); client.disconnect() })
  for (const { name, run } of storeConformance(optionsFor(client, admin))) await t.test(name, run)
})

t.test('with node-redis, as a store', { skip }, async (t) => {
  const { port } = await startRedis(t, ['--appendfsync', 'no'])
  const admin = new Redis({ port })
  const client = await createClient({ url: `redis://127.0.0.1:${port}` }).connect()
  t.teardown(() => { admin.disconnect(); client.destroy() })
  for (const { name, run } of storeConformance(optionsFor(client, admin))) await t.test(name, run)
})
