// Many sessions at once: a store that asks for several of them together keeps them apart.
import assert from 'node:assert/strict'
import type { Lease, SessionRecord } from '../../../types/store.js'
import type { ConformanceCase, ConformanceOptions } from '../options.js'
import { sameRecord } from './records.js'
import { lock, newKey, numberIn, storeCases, TestTicket } from './store-scene.js'

const SESSIONS = 60
/** What means something in lists of values, as a server may take them. */
const USERS = [null, '', 'ann', 'NULL', 'null', '{}', '{"a","b"}', 'a,b', '"', '\\', '\\"', "'", '(1,2)', '$1', '\n\t', 'Zoë 🦊']
const DATA = ['', '{"a":"\\\\\\"{},\'"}', 'NULL', '🦊'.repeat(200), 'x'.repeat(40_000), Uint8Array.of(0, 255, 92, 34, 44, 10), new Uint8Array(0)]

export function crowdCases (options: ConformanceOptions): ConformanceCase[] {
  const storeCase = storeCases(options)
  return [
    storeCase('sessions that are locked, written and read at once are kept apart', async (scene) => {
      const store = await scene.store()
      const keys = Array.from({ length: SESSIONS }, newKey)
      const records = keys.map((_key, i): SessionRecord => scene.record({ user: USERS[i % USERS.length]!, data: DATA[i % DATA.length]! }))
      const all = async <T> (action: (key: string, i: number) => T | Promise<T>) => await Promise.all(keys.map(async (key, i) => await action(key, i)))
      await all((key) => store.create(key, scene.record()))
      let leases = await all(key => lock(store, key))
      const { lastAccessedAt, expiresAt } = scene.record({ lastAccessedAt: scene.clock.now() + 1 })
      await all((_key, i) => leases[i]!.touch({ lastAccessedAt, expiresAt }))
      assert.deepEqual(await all(async key => (await store.read(key))?.lastAccessedAt), keys.map(() => lastAccessedAt))
      await all((_key, i) => leases[i]!.save(records[i]!, { release: true }))
      await all(async (key, i) => sameRecord(await store.read(key), records[i]!))
      leases = await all(key => lock(store, key))
      leases.forEach(({ record }, i) => sameRecord(record, records[i]!))
      await all((_key, i) => leases[i]!.release())
      await all(async key => await (await lock(store, key)).destroy())
      assert.deepEqual(await all(key => store.read(key)), keys.map(() => null))
      assert.deepEqual(await all(key => store.acquire(new TestTicket(key))), keys.map(() => null))
    }),

    storeCase('what is done to many sessions at once need not be the same', async (scene) => {
      const store = await scene.store()
      const keys = await Promise.all(Array.from({ length: SESSIONS }, async (_, n) => await scene.stored(store, { data: JSON.stringify({ n }) })))
      const leases = await Promise.all(keys.map(async key => await lock(store, key)))
      const later = scene.clock.now() + 5
      const saved = scene.record({ data: '{"n":1000}', user: 'ann', lastAccessedAt: later })
      const times = { lastAccessedAt: later, expiresAt: saved.expiresAt }
      const actions = [
        { act: async (lease: Lease) => { await lease.save(saved, { release: true }) }, n: 1000, touched: true },
        { act: async (lease: Lease) => { await lease.save(saved) }, n: 1000, touched: true },
        { act: async (lease: Lease) => { await lease.touch(times, { release: true }) }, touched: true },
        { act: async (lease: Lease) => { await lease.touch(times) }, touched: true },
        { act: async (lease: Lease) => { await lease.release() } },
        { act: async (lease: Lease) => { await lease.destroy() }, gone: true }
      ]
      const actionFor = (index: number) => actions[index % actions.length]!
      await Promise.all(leases.map(async (lease, index) => await actionFor(index).act(lease)))
      await Promise.all(keys.map(async (key, index) => {
        const { gone, n = index, touched } = actionFor(index)
        const found = await store.read(key)
        if (gone === true) assert.equal(found, null)
        else assert.deepEqual([numberIn(found), found?.lastAccessedAt === later], [n, touched === true])
      }))
      await Promise.all(leases.map(async lease => await lease.release()))
      const free = keys.filter((_key, index) => actionFor(index).gone !== true)
      await Promise.all(free.map(async key => await (await lock(store, key)).release()))
    }),

    storeCase('L1 of many who ask for sessions at once, each has one holder', async (scene) => {
      const stores = await scene.pair()
      const keys = await Promise.all(Array.from({ length: SESSIONS }, async () => await scene.stored(stores[0])))
      const asked = [...keys, ...keys, ...keys]
      const answers = await Promise.all(asked.map(async (key, i) => await stores[i % 2]!.acquire(new TestTicket(key))))
      const holders = keys.map(key => answers.filter((answer, i) => asked[i] === key && answer?.outcome === 'granted').length)
      assert.deepEqual(holders, keys.map(() => 1))
    })
  ]
}
