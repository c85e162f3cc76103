// Many sessions at once: a store that asks for several of them together keeps them apart.
import assert from 'node:assert/strict'
import type { SessionRecord } from '../../../types/store.js'
import type { ConformanceCase, ConformanceOptions } from '../options.js'
import { sameRecord } from './records.js'
import { lock, newKey, storeCases, TestTicket } from './store-scene.js'

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
      const times = scene.record({ lastAccessedAt: scene.clock.now() + 1 })
      await all((_key, i) => leases[i]!.touch(times))
      assert.deepEqual(await all(async key => (await store.read(key))?.lastAccessedAt), keys.map(() => times.lastAccessedAt))
      await all((_key, i) => leases[i]!.save(records[i]!, { release: true }))
      await all(async (key, i) => sameRecord(await store.read(key), records[i]!))
      leases = await all(key => lock(store, key))
      leases.forEach(({ record }, i) => sameRecord(record, records[i]!))
      await all((_key, i) => leases[i]!.release())
      await all(async key => await (await lock(store, key)).destroy())
      assert.deepEqual(await all(key => store.read(key)), keys.map(() => null))
      assert.deepEqual(await all(key => store.acquire(new TestTicket(key))), keys.map(() => null))
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
