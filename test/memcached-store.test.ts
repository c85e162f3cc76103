// The memcached store in the conformance suites.
import t from 'tap'
import { type ConformanceOptions, httpConformance, storeConformance } from '../lib/conformance/index.js'
import { MemcachedStore, type MemcachedStoreOptions } from '../lib/stores/memcached/index.js'
import type { Store } from '../lib/index.js'
import { skipWithout, startMemcached } from './helpers/local-services.js'
import { MemcachedSpy } from './helpers/memcached-spy.js'

t.test('the memcached store passes the conformance suites', { skip: skipWithout('memcached') }, async (t) => {
  const { host, port } = await startMemcached(t)
  const spy = await MemcachedSpy.connect(t, port)
  const ways = new WeakMap<Store, MemcachedStoreOptions>()
  let cases = 0
  const open = (way: MemcachedStoreOptions) => {
    const store = new MemcachedStore(way)
    ways.set(store, way)
    return store
  }
  const options: ConformanceOptions = {
    listing: false,
    createStore: () => open({ servers: `${host}:${port}`, prefix: `case${cases++}:` }),
    secondConnection: (store) => open(ways.get(store)!),
    spoil: (store, key) => spy.set(`${ways.get(store)!.prefix}data:${key}`, 'spoilt by the test')
  }

  await t.test('as a store', async (t) => {
    for (const { name, run } of storeConformance(options)) t.test(name, run)
  })

  await t.test('under the plugin', async (t) => {
    for (const { name, run } of httpConformance(options)) t.test(name, run)
  })
})
