// What both stores do that let many sessions share a statement or a command.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { lock, TestTicket } from '../../lib/conformance/store/store-scene.js'
import type { Lease, SessionRecord, Store } from '../../lib/index.js'

/** A store with these sessions, which nobody else wants. */
export interface Crowd {
  readonly store: Store
  readonly keys: string[]
}

export async function lockAll ({ store, keys }: Crowd): Promise<Lease[]> {
  return await Promise.all(keys.map(async key => await lock(store, key)))
}

/** The code of an error, also of one that is thrown at once. */
export async function codeOf (action: () => unknown): Promise<string> {
  try {
    await action()
    return 'done'
  } catch (error) {
    return (error as { code: string }).code
  }
}

/** `sent`: how often the server was asked so far. */
export async function takesFewSteps (t: Test, crowd: Crowd, changed: SessionRecord, sent: () => number, more: Record<string, () => unknown> = {}): Promise<void> {
  const { store, keys } = crowd
  let leases: Lease[] = []
  const all = async (action: (lease: Lease) => unknown) => await Promise.all(leases.map(async lease => await action(lease)))
  for (const [name, action] of Object.entries({
    acquire: async () => { leases = await lockAll(crowd) },
    touch: async () => await all(lease => lease.touch(changed)),
    save: async () => await all(lease => lease.save(changed)),
    release: async () => await all(lease => lease.release()),
    read: async () => t.same(new Set((await Promise.all(keys.map(async key => await store.read(key)))).map(found => found?.data)), new Set([changed.data])),
    ...more
  })) {
    const before = sent()
    await action()
    const taken = sent() - before
    t.ok(taken <= 50, `${name} takes ${taken}`)
  }
}

/** Of a store with a timeout of 2000 ms. The first `atOnce` are asked for one by one, then `sent` of them together. */
export async function givesUpInTime (t: Test, { store, keys }: Crowd, expected: { atOnce: number, sent: number }, delay: { begin (ms: number): void, end (): void, sent (): number }): Promise<void> {
  const { atOnce } = expected
  delay.begin(1500)
  const begun = performance.now()
  const codes = await Promise.all(keys.map(async key => await codeOf(() => store.acquire(new TestTicket(key)))))
  t.ok(performance.now() - begun < 2900, 'not for the 3000 ms that two of them take')
  t.equal(codes.filter(code => code === 'done').length, atOnce)
  t.equal(codes.filter(code => code === 'FST_SESSION_STORE_UNAVAILABLE').length, keys.length - atOnce)
  await sleep(2000)
  t.equal(delay.sent(), expected.sent, 'those beyond were never sent')
  delay.end()
  const outcomes = await Promise.all(keys.map(async key => (await store.acquire(new TestTicket(key)))?.outcome))
  t.equal(outcomes.filter(outcome => outcome === 'granted').length, keys.length - atOnce)
}
