// A session that was replaced by another one (rule I3): who already waits learns where it went, newcomers find nothing.
import assert from 'node:assert/strict'
import type { Lease, Store } from '../../../types/store.js'
import type { ConformanceCase, ConformanceOptions } from '../options.js'
import { askInVain, code, lock, numberIn, storeCases, type StoreScene, TestTicket, waitFor } from './store-scene.js'

export function movedCases (options: ConformanceOptions): ConformanceCase[] {
  const storeCase = storeCases(options)

  interface Replacing { store: Store, second: Store, from: string, to: string, lease: Lease }

  async function replacing (scene: StoreScene): Promise<Replacing> {
    const [store, second] = await scene.pair()
    const from = await scene.stored(store)
    const to = await scene.stored(store, { data: '{"n":2}' })
    return { store, second, from, to, lease: await lock(store, from) }
  }

  async function newcomersFindNothing ({ store, second, from }: Replacing): Promise<void> {
    for (const either of [store, second]) {
      assert.equal(await either.acquire(new TestTicket(from)), null)
      assert.equal(await either.read(from), null)
    }
  }

  return [
    storeCase('I3 who waits for a session that has moved learns where to, and finds it there', async (scene) => {
      for (const which of ['store', 'second'] as const) {
        const scenery = await replacing(scene)
        const { from, to, lease } = scenery
        const other = scenery[which]
        const waiting = waitFor(other, await askInVain(other, from))
        await lease.destroy({ movedTo: to })
        assertMoved(await waiting, to)
        await newcomersFindNothing(scenery)
        const next = await lock(other, to)
        assert.equal(numberIn(next.record), 2)
        await next.release()
      }
    }),

    storeCase('I3 who must not follow learns that', async (scene) => {
      const scenery = await replacing(scene)
      const { store, second, from, lease } = scenery
      const tickets = [await askInVain(store, from), await askInVain(second, from)]
      await lease.destroy({ movedTo: null })
      for (const [index, ticket] of tickets.entries()) {
        const answer = await waitFor([store, second][index]!, ticket)
        assertMoved(answer, null)
      }
      await newcomersFindNothing(scenery)
    }),

    storeCase('I3 all who wait learn of the move, not only the first', async (scene) => {
      const scenery = await replacing(scene)
      const { store, second, from, to, lease } = scenery
      const waiting = []
      for (const either of [store, store, second, second, second]) waiting.push({ either, ticket: await askInVain(either, from) })
      await lease.destroy({ movedTo: to })
      for (const { either, ticket } of waiting) assertMoved(await waitFor(either, ticket), to)
      await newcomersFindNothing(scenery)
    }),

    storeCase('I3 who waits learns of the move although the session had outgrown its place before', async (scene) => {
      const scenery = await replacing(scene)
      const { second, from, to, lease } = scenery
      const ticket = await askInVain(second, from)
      await lease.save(scene.record({ data: JSON.stringify('x'.repeat(20_000)) }))
      await lease.destroy({ movedTo: to })
      assertMoved(await waitFor(second, ticket), to)
      await newcomersFindNothing(scenery)
    }),

    storeCase('I3 a late holder does not move a session that somebody else holds', async (scene) => {
      const { store, second, from, to, lease } = await replacing(scene)
      lease.lapse()
      const holder = await lock(second, from)
      await assert.rejects(async () => { await lease.destroy({ movedTo: to }) }, code('FST_SESSION_LOCK_LOST'))
      await holder.save(scene.record({ data: '{"n":9}' }), { release: true })
      assert.equal(numberIn(await store.read(from)), 9)
    })
  ]
}

function assertMoved (answer: { outcome: string, movedTo?: string | null } | null, movedTo: string | null): void {
  assert.equal(answer?.outcome, 'moved')
  assert.equal(answer.movedTo, movedTo)
}
