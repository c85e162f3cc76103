// All sessions at once: entries, count, prune.
import assert from 'node:assert/strict'
import type { SessionRecord, Store } from '../../../types/store.js'
import type { ConformanceCase, ConformanceOptions } from '../options.js'
import { sameRecord } from './records.js'
import { HOUR, lock, numberIn, storeCases } from './store-scene.js'

export function listingCases (options: ConformanceOptions): ConformanceCase[] {
  const storeCase = storeCases(options)
  return [
    storeCase('an empty store lists nothing', async (scene) => {
      const store = await scene.store()
      assert.deepEqual(await all(store), new Map())
      assert.equal(await store.count(), 0)
      assert.deepEqual({ ...await store.prune() }, { deleted: 0, remaining: 0 })
    }),

    storeCase('entries() and count() have every live session once, also locked ones', async (scene) => {
      const [store, second] = await scene.pair()
      const keys = []
      for (let n = 0; n < 50; n++) keys.push(await scene.stored(store, { data: JSON.stringify({ n }), user: `user ${n}` }))
      const lease = await lock(store, keys[7]!)
      for (const either of [store, second]) {
        const found = await all(either)
        assert.deepEqual([...found.keys()].sort(), [...keys].sort())
        for (const [n, key] of keys.entries()) sameRecord(found.get(key)!, scene.record({ data: JSON.stringify({ n }), user: `user ${n}` }))
        assert.equal(await either.count(), 50)
      }
      await lease.release()
    }),

    storeCase('entries() and count() leave out what is destroyed or has expired', async (scene) => {
      const store = await scene.store()
      const kept = await scene.stored(store, { expiresAt: scene.clock.now() + 2 * HOUR })
      await scene.stored(store)
      await (await lock(store, await scene.stored(store))).destroy()
      scene.clock.advance(HOUR)
      assert.deepEqual([...(await all(store)).keys()], [kept])
      assert.equal(await store.count(), 1)
    }),

    storeCase('sessions may be destroyed and saved while they are listed', async (scene) => {
      const store = await scene.store()
      for (let n = 0; n < 30; n++) await scene.stored(store, { data: JSON.stringify({ n }) })
      let destroyed = 0
      const seen = new Set<string>()
      for await (const [key, record] of store.entries()) {
        assert.ok(!seen.has(key), 'a session came twice')
        seen.add(key)
        const lease = await lock(store, key)
        if (numberIn(record) % 2 === 0) {
          await lease.destroy()
          destroyed++
        } else {
          await lease.save({ ...record, lastAccessedAt: record.lastAccessedAt + 1 }, { release: true })
        }
      }
      assert.equal(seen.size, 30)
      assert.equal(await store.count(), 30 - destroyed)
    }),

    storeCase('prune() deletes what has expired, and says how many it deleted and how many remain', async (scene) => {
      const store = await scene.store()
      const live = []
      for (let i = 0; i < 3; i++) live.push(await scene.stored(store, { expiresAt: scene.clock.now() + 2 * HOUR }))
      for (let i = 0; i < 4; i++) await scene.stored(store)
      scene.clock.advance(HOUR)
      assert.deepEqual({ ...await store.prune() }, { deleted: 4, remaining: 3 })
      assert.deepEqual({ ...await store.prune() }, { deleted: 0, remaining: 3 })
      assert.deepEqual([...(await all(store)).keys()].sort(), live.sort())
    }),

    storeCase('prune() with idleSince also deletes what was not used since', async (scene) => {
      const store = await scene.store()
      const long = { expiresAt: scene.clock.now() + 9 * HOUR }
      const used = await scene.stored(store, long)
      const touched = await scene.stored(store, long)
      await scene.stored(store, long)
      scene.clock.advance(2 * HOUR)
      const times = { ...long, lastAccessedAt: scene.clock.now() }
      await (await lock(store, used)).save(scene.record(times), { release: true })
      await (await lock(store, touched)).touch({ ...times, expiresAt: long.expiresAt + HOUR }, { release: true })
      assert.deepEqual({ ...await store.prune({ idleSince: scene.clock.now() - 3 * HOUR }) }, { deleted: 0, remaining: 3 })
      assert.deepEqual({ ...await store.prune({ idleSince: scene.clock.now() - HOUR }) }, { deleted: 1, remaining: 2 })
      assert.deepEqual([...(await all(store)).keys()].sort(), [used, touched].sort())
    }),

    storeCase('C1 prune() neither waits for a locked session nor deletes it, even when it has expired', async (scene) => {
      const [store, second] = await scene.pair()
      const key = await scene.stored(store)
      await scene.stored(store)
      const lease = await lock(store, key)
      scene.clock.advance(2 * HOUR)
      assert.deepEqual({ ...await second.prune({ idleSince: Infinity }) }, { deleted: 1, remaining: 1 })
      assert.deepEqual({ ...await store.prune() }, { deleted: 0, remaining: 1 })
      assert.equal(await second.count(), 1)
      await lease.save(scene.record({ data: '{"n":2}' }), { release: true })
      assert.equal(numberIn(await store.read(key)), 2)
    }),

    storeCase('C1 prune() frees what it looked at: sessions can be locked and saved afterwards', async (scene) => {
      const store = await scene.store()
      const key = await scene.stored(store)
      await store.prune()
      await (await lock(store, key)).save(scene.record({ data: '{"n":2}' }), { release: true })
      assert.equal(numberIn(await store.read(key)), 2)
    })
  ]
}

async function all (store: Store): Promise<Map<string, SessionRecord>> {
  const found = new Map<string, SessionRecord>()
  for await (const [key, record] of store.entries()) found.set(key, record)
  return found
}
