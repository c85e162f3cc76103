// A holder that took too long is overtaken: whether its late save counts (rule S1), and that nothing comes back (rule S2).
import assert from 'node:assert/strict'
import type { Lease, Store } from '../../../types/store.js'
import type { ConformanceCase, ConformanceOptions } from '../options.js'
import { askInVain, code, lock, newKey, numberIn, storeCases, type StoreScene, TestTicket } from './store-scene.js'

const LOST = code('FST_SESSION_LOCK_LOST')

export function lapsedCases (options: ConformanceOptions): ConformanceCase[] {
  const storeCase = storeCases(options)

  async function lapsed (scene: StoreScene): Promise<{ store: Store, second: Store, key: string, late: Lease }> {
    const [store, second] = await scene.pair()
    const key = await scene.stored(store)
    const late = await lock(store, key)
    late.lapse()
    return { store, second, key, late }
  }

  return [
    storeCase('S1 a late save is accepted when nobody came', async (scene) => {
      const { store, second, key, late } = await lapsed(scene)
      await late.save(scene.record({ data: '{"n":2}' }), { release: true })
      assert.equal(numberIn(await store.read(key)), 2)
      const next = await lock(second, key)
      assert.equal(numberIn(next.record), 2)
      await next.release()
    }),

    storeCase('S1 a late save without release ends with release()', async (scene) => {
      const { store, second, key, late } = await lapsed(scene)
      await late.save(scene.record({ data: '{"n":2}' }))
      await late.save(scene.record({ data: '{"n":3}' }))
      await late.release()
      const next = await lock(second, key)
      assert.equal(numberIn(next.record), 3)
      await next.release()
      assert.equal(numberIn(await store.read(key)), 3)
    }),

    storeCase('S1 a late save is accepted when others only looked', async (scene) => {
      const { store, second, key, late } = await lapsed(scene)
      await (await lock(second, key)).release()
      await (await lock(store, key)).release()
      await late.save(scene.record({ data: '{"n":2}' }), { release: true })
      assert.equal(numberIn(await store.read(key)), 2)
    }),

    storeCase('S1 a late save is refused when somebody has saved, and nothing is written', async (scene) => {
      const { store, second, key, late } = await lapsed(scene)
      for (const [n, other] of [[10, second], [11, store]] as const) {
        await (await lock(other, key)).save(scene.record({ data: JSON.stringify({ n }), user: 'other' }), { release: true })
        await assert.rejects(async () => { await late.save(scene.record({ data: '{"n":2}' }), { release: true }) }, LOST)
        const record = await store.read(key)
        assert.equal(numberIn(record), n)
        assert.equal(record?.user, 'other')
      }
      await late.release()
      await (await lock(second, key)).release()
    }),

    storeCase('S1 a late save is refused when somebody has saved the same data again', async (scene) => {
      const { second, key, late } = await lapsed(scene)
      const next = await lock(second, key)
      await next.save(next.record, { release: true })
      await assert.rejects(async () => { await late.save(scene.record({ data: '{"n":2}' })) }, LOST)
      await late.release()
    }),

    storeCase('S1 a late save is refused when somebody has outgrown the old place', async (scene) => {
      const { store, second, key, late } = await lapsed(scene)
      const data = JSON.stringify({ n: 7, padding: 'x'.repeat(20_000) })
      await (await lock(second, key)).save(scene.record({ data }), { release: true })
      await assert.rejects(async () => { await late.save(scene.record({ data: '{"n":2}' })) }, LOST)
      await late.release()
      assert.equal(numberIn(await store.read(key)), 7)
    }),

    storeCase('S1 a late save is refused while somebody holds the lock, and leaves that lock alone', async (scene) => {
      for (const which of [0, 1]) {
        const { store, second, key, late } = await lapsed(scene)
        const holder = await lock([store, second][which]!, key)
        await assert.rejects(async () => { await late.save(scene.record({ data: '{"n":2}' }), { release: true }) }, LOST)
        await late.release()
        await askInVain(store, key)
        await askInVain(second, key)
        await holder.save(scene.record({ data: '{"n":3}' }), { release: true })
        assert.equal(numberIn(await store.read(key)), 3)
      }
    }),

    storeCase('S1 a late touch changes no data that others have saved', async (scene) => {
      const { store, second, key, late } = await lapsed(scene)
      await (await lock(second, key)).save(scene.record({ data: '{"n":5}' }), { release: true })
      await attempt(async () => { await late.touch(scene.record()) })
      await late.release()
      assert.equal(numberIn(await store.read(key)), 5)
    }),

    storeCase('S1 a late destroy does not delete what somebody else holds', async (scene) => {
      const { store, second, key, late } = await lapsed(scene)
      const holder = await lock(second, key)
      await assert.rejects(async () => { await late.destroy() }, LOST)
      await late.release()
      await holder.save(scene.record({ data: '{"n":5}' }), { release: true })
      assert.equal(numberIn(await store.read(key)), 5)
    }),

    storeCase('S1 lapse() may be repeated, and after the end it does nothing', async (scene) => {
      const { store, second, key, late } = await lapsed(scene)
      late.lapse()
      await late.release()
      const holder = await lock(second, key)
      late.lapse()
      await late.release()
      await askInVain(store, key)
      await holder.release()
      holder.lapse()
      await (await lock(store, key)).release()
    }),

    ...([undefined, null, newKey()] as const).map(movedTo => storeCase(`S2 a session that was destroyed${movedTo === undefined ? '' : movedTo === null ? ' for good' : ' and moved'} is not written again by a late holder`, async (scene) => {
      const { store, second, key, late } = await lapsed(scene)
      await (await lock(second, key)).destroy(movedTo === undefined ? undefined : { movedTo })
      await assert.rejects(async () => { await late.save(scene.record({ data: '{"n":2}' })) }, LOST)
      await assert.rejects(async () => { await late.save(scene.record({ data: '{"n":2}' }), { release: true }) }, LOST)
      await attempt(async () => { await late.touch(scene.record()) })
      await attempt(async () => { await late.destroy() })
      await late.release()
      await isGone(scene, store, key)
      await isGone(scene, second, key)
    })),

    storeCase('S2 a session is not written again through the lease that destroyed it', async (scene) => {
      const [store, second] = await scene.pair()
      const key = await scene.stored(store)
      const lease = await lock(store, key)
      await lease.destroy()
      await attempt(async () => { await lease.save(scene.record()) })
      await attempt(async () => { await lease.touch(scene.record()) })
      await lease.release()
      lease.lapse()
      await isGone(scene, store, key)
      await isGone(scene, second, key)
    }),

    storeCase('S2 a session does not expire under the lock: its holder may save and touch it', async (scene) => {
      const [store, second] = await scene.pair()
      for (const way of ['save', 'touch'] as const) {
        const key = await scene.stored(store)
        const lease = await lock(store, key)
        scene.clock.advance(2 * 60 * 60_000)
        assert.equal((await second.acquire(new TestTicket(key)))?.outcome, 'busy', 'somebody has deleted it under the lock')
        assert.ok(await store.read(key) !== null && await second.read(key) !== null, 'readers must not take it for expired')
        await lease[way](scene.record({ data: '{"n":1}' }), { release: true })
        assert.equal(numberIn(await store.read(key)), 1)
        await (await lock(second, key)).release()
      }
    })
  ]
}

async function isGone (scene: StoreScene, store: Store, key: string): Promise<void> {
  assert.equal(await store.read(key), null)
  assert.equal(await store.acquire(new TestTicket(key)), null)
  if (scene.options.listing !== false) assert.equal(await store.count(), 0)
}

/** Whether it throws is the store's business here; what counts is what is stored afterwards. */
async function attempt (action: () => Promise<void>): Promise<void> {
  try {
    await action()
  } catch {}
}
