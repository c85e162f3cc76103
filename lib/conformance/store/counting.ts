// Many at once: nothing is lost, and nothing half-written is seen.
import assert from 'node:assert/strict'
import type { Store } from '../../../types/store.js'
import type { ConformanceCase, ConformanceOptions } from '../options.js'
import { sleep } from '../patience.js'
import { sameRecord } from './records.js'
import { HOUR, lock, numberIn, storeCases, TestTicket, waitFor } from './store-scene.js'

export function countingCases (options: ConformanceOptions): ConformanceCase[] {
  const storeCase = storeCases(options)
  return [
    storeCase('what is read while others save is one save, never a mixture of two', async (scene) => {
      const [store, second] = await scene.pair()
      const key = await scene.stored(store, version(scene.clock.now(), 0))
      const writer = { saves: true }
      let seen = 0
      const read = async (from: Store) => {
        // Of this reader alone: what two have asked for may arrive in any order.
        let last = 0
        while (writer.saves) {
          const record = await from.read(key)
          assert.ok(record !== null, 'the session is gone')
          const n = record.expiresAt - scene.clock.now() - HOUR
          sameRecord(record, { ...scene.record(), ...version(scene.clock.now(), n) })
          assert.ok(n >= last, 'an older save came back')
          seen = last = n
          await sleep(0)
        }
      }
      const write = async () => {
        for (let n = 1; n <= 60; n++) {
          const lease = await lock(store, key)
          await lease.save(scene.record(version(scene.clock.now(), n)), { release: true })
          await sleep(0)
        }
      }
      await Promise.all([write().finally(() => { writer.saves = false }), read(store), read(second)])
      assert.ok(seen > 0)
    }),

    storeCase('100 cycles of locking, reading, pausing and saving count to 100', async (scene) => {
      const [store, second] = await scene.pair()
      const key = await scene.stored(store, { data: '{"n":0}' })
      let inside = 0
      await Promise.all(Array.from({ length: 10 }, async (_, worker) => {
        for (let cycle = 0; cycle < 10; cycle++) {
          const lease = await lock(worker % 2 === 0 ? store : second, key)
          assert.equal(++inside, 1, 'two are inside')
          await sleep(0)
          inside--
          // The length changes, too: the store may have to make room.
          const n = numberIn(lease.record) + 1
          await lease.save(scene.record({ data: JSON.stringify({ n, padding: '·'.repeat((n * 37) % 2000) }) }), { release: true })
        }
      }))
      assert.equal(numberIn(await store.read(key)), 100)
    }),

    storeCase('many sessions are locked at once, each by one', async (scene) => {
      const [store, second] = await scene.pair()
      const keys = []
      for (let i = 0; i < 10; i++) keys.push(await scene.stored(store, { data: '{"n":0}' }))
      await Promise.all(keys.flatMap(key => [store, second, store].map(async (either) => {
        const answer = await waitFor(either, new TestTicket(key))
        assert.equal(answer?.outcome, 'granted')
        const n = numberIn(answer.record) + 1
        await sleep(1)
        await answer.save(scene.record({ data: JSON.stringify({ n }) }), { release: true })
      })))
      for (const key of keys) assert.equal(numberIn(await store.read(key)), 3)
    })
  ]
}

/** Everything in the record says the same number. */
function version (now: number, n: number) {
  return { data: JSON.stringify({ n, text: `${n} `.repeat(20 + (n % 7) * 30) }), user: `user ${n}`, expiresAt: now + HOUR + n, lastAccessedAt: now + n, createdAt: now - n }
}
