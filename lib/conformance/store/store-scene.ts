// What one case of the store suite works with: open stores, a clock, and tickets that know when they were woken.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { Lease, Moved, SessionRecord, Store, StoreContext, Ticket } from '../../../types/store.js'
import { FakeClock } from '../clock.js'
import { LogLines } from '../log-lines.js'
import type { ConformanceCase, ConformanceOptions } from '../options.js'
import { within } from '../patience.js'

export const HOUR = 60 * 60_000

export class StoreScene {
  readonly clock = new FakeClock()
  readonly log = new LogLines()
  readonly context: StoreContext = { now: this.clock.now, maxRecordSize: 1024 * 1024, log: this.log.log }
  readonly #open: Store[] = []

  constructor (readonly options: ConformanceOptions) {}

  /** An empty store. */
  async store (): Promise<Store> {
    return await this.#opened(await this.options.createStore(this.context))
  }

  /** Two stores on the same sessions; without `secondConnection` one store twice. */
  async pair (): Promise<[Store, Store]> {
    const store = await this.store()
    const { secondConnection } = this.options
    return [store, secondConnection === undefined ? store : await this.#opened(await secondConnection(store))]
  }

  /** A record of the present that lives for an hour. */
  record (values: Partial<SessionRecord> = {}): SessionRecord {
    const now = this.clock.now()
    return { data: '{"n":1}', createdAt: now, lastAccessedAt: now, expiresAt: now + HOUR, user: null, ...values }
  }

  /** Stores a session and returns its key. */
  async stored (store: Store, values: Partial<SessionRecord> = {}): Promise<string> {
    const key = newKey()
    await store.create(key, this.record(values))
    return key
  }

  async close (): Promise<void> {
    for (const store of this.#open.reverse()) await store.close?.()
  }

  async #opened (store: Store): Promise<Store> {
    await store.open?.(this.context)
    this.#open.push(store)
    return store
  }
}

/** Makes cases for one store; each plays on a scene of its own. */
export type StoreCase = (name: string, play: (scene: StoreScene) => Promise<void>) => ConformanceCase

export function storeCases (options: ConformanceOptions): StoreCase {
  return (name, play) => ({
    name,
    async run () {
      const scene = new StoreScene(options)
      try {
        await within(name, play(scene), 30_000)
      } finally {
        await within('to close the stores', scene.close())
      }
    }
  })
}

export function newKey (): string {
  return randomBytes(32).toString('hex')
}

export class TestTicket implements Ticket {
  readonly deadline = Infinity
  readonly maxHold = 60_000
  readonly method = 'GET'
  readonly route = '/conformance/:case'
  wakes = 0
  #onWake: () => void = () => {}

  constructor (readonly key: string) {}

  readonly wake = (): void => {
    this.wakes++
    this.#onWake()
  }

  /** Resolves when it is woken after this call, at the latest after `ms`. */
  woken (ms: number): Promise<void> {
    return new Promise(resolve => {
      const timer = setTimeout(resolve, ms)
      this.#onWake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}

/** Asks for the lock, and again whenever the store says so, until it has another answer than "busy". */
export async function waitFor (store: Store, ticket: TestTicket): Promise<Lease | Moved | null> {
  for (;;) {
    const { wakes } = ticket
    const answer = await store.acquire(ticket)
    if (answer?.outcome !== 'busy') return answer
    assert.ok(answer.retryAfter > 0, `retryAfter must be above 0, it is ${answer.retryAfter}`)
    if (ticket.wakes === wakes) await ticket.woken(answer.retryAfter)
  }
}

/** Locks a session that must be there. */
export async function lock (store: Store, key: string, ticket = new TestTicket(key)): Promise<Lease> {
  return granted(await within('to be granted the lock', waitFor(store, ticket)))
}

/** Asks once for a lock that must be held by somebody else. */
export async function askInVain (store: Store, key: string): Promise<TestTicket> {
  const ticket = new TestTicket(key)
  const answer = await store.acquire(ticket)
  assert.equal(answer?.outcome, 'busy')
  return ticket
}

export function granted (answer: { outcome: string } | null): Lease {
  assert.equal(answer?.outcome, 'granted')
  return answer as Lease
}

/** For assert.rejects: an error with this code. */
export function code (expected: string): (error: unknown) => boolean {
  return (error) => {
    assert.equal((error as { code?: unknown }).code, expected)
    return true
  }
}

export function numberIn (record: SessionRecord | null): number {
  assert.ok(record !== null, 'the session is gone')
  return JSON.parse(String(record.data)).n
}
