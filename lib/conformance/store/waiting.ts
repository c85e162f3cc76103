// Who waits is woken or asks again, and may give up.
import assert from 'node:assert/strict'
import type { LockHolder } from '../../errors.js'
import type { ConformanceCase, ConformanceOptions } from '../options.js'
import { sleep, until } from '../patience.js'
import { sameRecord } from './records.js'
import { askInVain, lock, newKey, numberIn, storeCases, TestTicket } from './store-scene.js'

export function waitingCases (options: ConformanceOptions): ConformanceCase[] {
  const storeCase = storeCases(options)
  return [
    storeCase('busy says when to ask again, in a time that is not 0 and not for ever', async (scene) => {
      const [store, second] = await scene.pair()
      const key = await scene.stored(store)
      const lease = await lock(store, key)
      const answer = await second.acquire(new TestTicket(key))
      assert.equal(answer?.outcome, 'busy')
      assert.ok(answer.retryAfter > 0 && answer.retryAfter <= 60_000, `retryAfter is ${answer.retryAfter}`)
      await lease.release()
    }),

    storeCase('who waits is woken when the lock is free, or was told to ask again soon', async (scene) => {
      const [store, second] = await scene.pair()
      for (const other of [store, second]) {
        const key = await scene.stored(store)
        const lease = await lock(store, key)
        const ticket = await askInVain(other, key)
        const answer = await other.acquire(ticket)
        assert.equal(answer?.outcome, 'busy')
        const { wakes } = ticket
        await lease.release()
        if (answer.retryAfter > 250) await until('a wake-up', () => ticket.wakes > wakes)
        await (await lock(other, key, ticket)).release()
      }
    }),

    ...(['release', 'save', 'touch', 'lapse'] as const).map(way => storeCase(`who waits gets the lock after ${way}(), by being woken or by asking again`, async (scene) => {
      const [store, second] = await scene.pair()
      for (const other of [store, second]) {
        const key = await scene.stored(store)
        const lease = await lock(store, key)
        const ticket = await askInVain(other, key)
        const waiting = lock(other, key, ticket)
        await sleep(20)
        if (way === 'release') await lease.release()
        else if (way === 'lapse') lease.lapse()
        else if (way === 'save') await lease.save(scene.record({ data: '{"n":1}' }), { release: true })
        else await lease.touch(scene.record(), { release: true })
        const next = await waiting
        assert.equal(numberIn(next.record), 1)
        await next.release()
      }
    })),

    storeCase('who waits and asks again without being woken gets the lock, too', async (scene) => {
      const [store, second] = await scene.pair()
      const key = await scene.stored(store)
      const lease = await lock(store, key)
      const ticket = await askInVain(second, key)
      await second.acquire(ticket)
      await lease.release()
      // No woken(): only the question counts.
      await until('the lock', async () => {
        const answer = await second.acquire(ticket)
        if (answer?.outcome !== 'granted') return false
        await answer.release()
        return true
      })
    }),

    storeCase('who waits finds nothing after destroy()', async (scene) => {
      const [store, second] = await scene.pair()
      for (const other of [store, second]) {
        const key = await scene.stored(store)
        const lease = await lock(store, key)
        const ticket = await askInVain(other, key)
        await lease.destroy()
        await until('the news', async () => {
          const answer = await other.acquire(ticket)
          assert.notEqual(answer?.outcome, 'granted')
          assert.notEqual(answer?.outcome, 'moved')
          return answer === null
        })
      }
    }),

    storeCase('who waits gets the session as it is, after it has outgrown its place', async (scene) => {
      const [store, second] = await scene.pair()
      const key = await scene.stored(store)
      const record = scene.record({ data: JSON.stringify('x'.repeat(50_000)) })
      const lease = await lock(store, key)
      const tickets = [await askInVain(store, key), await askInVain(second, key)]
      await lease.save(record)
      await askInVain(second, key)
      await lease.release()
      for (const [index, ticket] of tickets.entries()) {
        const next = await lock(index === 0 ? store : second, key, ticket)
        sameRecord(next.record, record)
        await next.release()
      }
    }),

    storeCase('who gives up gets nothing and stands in nobody\'s way', async (scene) => {
      const [store, second] = await scene.pair()
      for (const other of [store, second]) {
        const key = await scene.stored(store)
        const lease = await lock(store, key)
        const leaving = await askInVain(other, key)
        const staying = await askInVain(other, key)
        await other.cancel?.(leaving)
        await lease.release()
        await (await lock(other, key, staying)).release()
        await (await lock(store, key)).release()
      }
    }),

    storeCase('who gives up when the lock has just been freed passes it on', async (scene) => {
      const [store, second] = await scene.pair()
      for (const other of [store, second]) {
        const key = await scene.stored(store)
        const lease = await lock(store, key)
        const leaving = await askInVain(other, key)
        const staying = await askInVain(other, key)
        await lease.release()
        await other.cancel?.(leaving)
        await (await lock(other, key, staying)).release()
      }
    }),

    storeCase('cancel() does no harm to those who never waited, waited elsewhere, or hold the lock', async (scene) => {
      const store = await scene.store()
      const key = await scene.stored(store)
      await store.cancel?.(new TestTicket(key))
      await store.cancel?.(new TestTicket(newKey()))
      const ticket = new TestTicket(key)
      const lease = await lock(store, key, ticket)
      await store.cancel?.(new TestTicket(key))
      await askInVain(store, key)
      await lease.save(scene.record({ data: '{"n":2}' }), { release: true })
      assert.equal(numberIn(await store.read(key)), 2)
    }),

    storeCase('what holds the lock is told to those who wait, once it was described', async (scene) => {
      const [store, second] = await scene.pair()
      const key = await scene.stored(store)
      const lease = await lock(store, key)
      lease.describe?.()
      const ticket = await askInVain(second, key)
      const ask = async (): Promise<LockHolder | null> => {
        const answer = await second.acquire(ticket)
        assert.equal(answer?.outcome, 'busy')
        return answer.holder?.() ?? null
      }
      let holder = await ask()
      // Nobody waits for a description to arrive.
      if (store.scope !== 'process' && lease.describe !== undefined) await until('what holds the lock', async () => (holder = await ask()) !== null)
      if (holder !== null) {
        const { heldFor, ...names } = holder
        assert.deepEqual(names, { method: ticket.method, route: ticket.route })
        assert.ok(heldFor >= 0)
      }
      await lease.save(scene.record({ data: '{"n":2}' }), { release: true })
      const next = await lock(second, key, ticket)
      assert.equal(numberIn(next.record), 2)
      await next.release()
    })
  ]
}
