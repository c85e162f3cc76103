// Both conformance suites with the Redis store, through one client.
import type { Redis } from 'ioredis'
import type { Test } from 'tap'
import { type ConformanceOptions, httpConformance, storeConformance } from '../../lib/conformance/index.js'
import type { Store } from '../../lib/index.js'
import { RedisStore, type RedisStoreOptions } from '../../lib/stores/redis/index.js'

type Client = RedisStoreOptions['client']

let cases = 0

/** `nodeOf` finds the server that has this key. */
export function optionsFor (client: Client, nodeOf: (key: string) => Promise<Redis> | Redis, another = client): ConformanceOptions {
  const prefixes = new WeakMap<Store, string>()
  const open = (client: Client, prefix: string): Store => {
    const store = new RedisStore({ client, prefix })
    prefixes.set(store, prefix)
    return store
  }
  return {
    createStore: () => open(client, `case${++cases}:`),
    secondConnection: store => open(another, prefixes.get(store)!),
    spoil: async (store, key) => {
      const name = `${prefixes.get(store)}{${key}}`
      await (await nodeOf(name)).set(name, 'spoilt by the test')
    }
  }
}

export async function runSuites (t: Test, client: Client, admin: Redis): Promise<void> {
  const options = optionsFor(client, () => admin)
  await t.test('as a store', async (t) => {
    for (const { name, run } of storeConformance(options)) await t.test(name, run)
  })
  await t.test('under the plugin', async (t) => {
    for (const { name, run } of httpConformance(options)) await t.test(name, run)
  })
}
