// One holder at a time, and what a holder can do.
import assert from 'node:assert/strict'
import type { Lease } from '../../../types/store.js'
import type { ConformanceCase, ConformanceOptions } from '../options.js'
import { sameRecord } from './records.js'
import { askInVain, granted, HOUR, lock, newKey, numberIn, storeCases, TestTicket } from './store-scene.js'

export function lockingCases (options: ConformanceOptions): ConformanceCase[] {
  const storeCase = storeCases(options)
  return [
    storeCase('a lock keeps others out until it is released', async (scene) => {
      const store = await scene.store()
      const key = await scene.stored(store)
      const lease = await lock(store, key)
      await askInVain(store, key)
      await lease.release()
      await (await lock(store, key)).release()
    }),

    storeCase('two stores on the same sessions keep each other out', async (scene) => {
      const [store, second] = await scene.pair()
      const key = await scene.stored(store)
      for (const [one, other] of [[store, second], [second, store]] as const) {
        const lease = await lock(one, key)
        await askInVain(other, key)
        await lease.release()
        await (await lock(other, key)).release()
      }
    }),

    storeCase('locks of different sessions have nothing to do with each other', async (scene) => {
      const store = await scene.store()
      const leases = []
      for (let i = 0; i < 20; i++) leases.push(await lock(store, await scene.stored(store)))
      for (const lease of leases) await lease.release()
    }),

    storeCase('a lease holds what was saved last, by whichever store', async (scene) => {
      const [store, second] = await scene.pair()
      const key = await scene.stored(store)
      for (let n = 2; n < 8; n++) {
        const lease = await lock(n % 2 === 0 ? store : second, key)
        assert.equal(numberIn(lease.record), n - 1)
        await lease.save(scene.record({ data: JSON.stringify({ n }), user: `user ${n}` }), { release: true })
      }
      sameRecord(await store.read(key), scene.record({ data: '{"n":7}', user: 'user 7' }))
    }),

    storeCase('a save is there at once, also for those who read without the lock; the lock stays', async (scene) => {
      const [store, second] = await scene.pair()
      const key = await scene.stored(store)
      const lease = await lock(store, key)
      for (const n of [2, 3]) {
        await lease.save(scene.record({ data: JSON.stringify({ n }) }))
        assert.equal(numberIn(await store.read(key)), n)
        assert.equal(numberIn(await second.read(key)), n)
        await askInVain(second, key)
      }
      await lease.release()
    }),

    storeCase('save() with release: true saves and unlocks in one step', async (scene) => {
      const [store, second] = await scene.pair()
      const key = await scene.stored(store)
      const lease = await lock(store, key)
      await lease.save(scene.record({ data: '{"n":2}' }), { release: true })
      const next = await lock(second, key)
      assert.equal(numberIn(next.record), 2)
      await next.release()
    }),

    storeCase('a lease that is passed on inside its process keeps others out and knows what was saved', async (scene) => {
      const [store, second] = await scene.pair()
      const key = await scene.stored(store)
      let lease = await lock(store, key)
      for (let n = 2; n < 6; n++) {
        await lease.save(scene.record({ data: JSON.stringify({ n }) }))
        const next = lease.pass?.(new TestTicket(key))
        if (next === undefined) break // The store cannot, and need not.
        lease = granted(next)
        assert.equal(numberIn(lease.record), n)
        await askInVain(second, key)
      }
      await lease.release()
      await (await lock(second, key)).release()
    }),

    storeCase('S2 a lease is not passed on when its session has expired or it is over', async (scene) => {
      const store = await scene.store()
      for (const over of [() => scene.clock.advance(2 * HOUR), (lease: Lease) => lease.release(), (lease: Lease) => lease.lapse()]) {
        const key = await scene.stored(store)
        const lease = await lock(store, key)
        await over(lease)
        assert.equal(lease.pass?.(new TestTicket(key)) ?? null, null)
        await lease.release()
      }
    }),

    storeCase('touch() moves the times and leaves the data, the user and the time of creation alone', async (scene) => {
      const [store, second] = await scene.pair()
      const record = scene.record({ data: '{"n":5}', user: 'ann', createdAt: scene.clock.now() - HOUR })
      const key = newKey()
      await store.create(key, record)
      for (const release of [false, true]) {
        scene.clock.advance(HOUR / 2)
        const times = { lastAccessedAt: scene.clock.now(), expiresAt: scene.clock.now() + HOUR }
        const lease = await lock(store, key)
        await lease.touch(times, { release })
        sameRecord(await store.read(key), { ...record, ...times })
        if (!release) {
          await askInVain(second, key)
          await lease.release()
        }
        const next = await lock(second, key)
        sameRecord(next.record, { ...record, ...times })
        await next.release()
      }
      assert.ok(await store.read(key) !== null, 'by its first expiry it would be gone')
    }),

    storeCase('a touch counts after a save, and a save after a touch', async (scene) => {
      const store = await scene.store()
      const key = await scene.stored(store)
      const now = scene.clock.now()
      const lease = await lock(store, key)
      const touched = { lastAccessedAt: now + 2, expiresAt: now + 3 * HOUR }
      await lease.save(scene.record({ data: '{"n":2}', lastAccessedAt: now + 1, expiresAt: now + 2 * HOUR }))
      await lease.touch(touched)
      sameRecord(await store.read(key), scene.record({ data: '{"n":2}', ...touched }))
      const saved = { lastAccessedAt: now + 3, expiresAt: now + HOUR }
      await lease.save(scene.record({ data: '{"n":3}', ...saved }), { release: true })
      sameRecord(await store.read(key), scene.record({ data: '{"n":3}', ...saved }))
    }),

    storeCase('a touch may also bring the expiry nearer, as after a change of the options', async (scene) => {
      const store = await scene.store()
      const key = await scene.stored(store)
      const times = { lastAccessedAt: scene.clock.now() + 1, expiresAt: scene.clock.now() + HOUR / 2 }
      await (await lock(store, key)).touch(times, { release: true })
      sameRecord(await store.read(key), scene.record(times))
      scene.clock.advance(HOUR / 2)
      assert.equal(await store.read(key), null)
    }),

    storeCase('a touch lasts, however many wait for the lock, get it or give up afterwards', async (scene) => {
      const [store, second] = await scene.pair()
      const key = await scene.stored(store)
      const times = { lastAccessedAt: scene.clock.now() + HOUR / 2, expiresAt: scene.clock.now() + 2 * HOUR }
      const isTouched = async () => { sameRecord(await store.read(key), scene.record(times)) }
      await (await lock(store, key)).touch(times, { release: true })
      const holder = await lock(store, key)
      const ticket = await askInVain(second, key)
      const leaving = await askInVain(second, key)
      await isTouched()
      holder.describe?.()
      await isTouched()
      await second.cancel?.(leaving)
      await holder.release()
      await isTouched()
      const next = await lock(second, key, ticket)
      sameRecord(next.record, scene.record(times))
      await next.release()
      await isTouched()
    }),

    storeCase('release() may be repeated, and frees the lock of nobody else', async (scene) => {
      const store = await scene.store()
      const key = await scene.stored(store)
      const ended = [await lock(store, key)]
      await ended[0]!.release()
      ended.push(await lock(store, key))
      await ended[1]!.save(scene.record(), { release: true })
      ended.push(await lock(store, key))
      await ended[2]!.touch(scene.record(), { release: true })
      const holder = await lock(store, key)
      for (const lease of [...ended, ...ended]) await lease.release()
      await askInVain(store, key)
      await holder.release()
    }),

    storeCase('reading never waits for the lock, and expiry and data are those of the last save', async (scene) => {
      const [store, second] = await scene.pair()
      const key = await scene.stored(store)
      const lease = await lock(store, key)
      sameRecord(await second.read(key), scene.record())
      await lease.release()
    })
  ]
}
