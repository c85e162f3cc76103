// The locks of an express store's sessions. Another store lends them: it holds a stub for each session, a small record
// with the same times. The stub is locked and loaded in place of the session, and its data are a version.
import { createHash, randomUUID } from 'node:crypto'
import type { Busy, Lease, Moved, SessionRecord, SessionTimes, Store, Ticket } from '../../../types/store.js'
import { ConflictError } from '../../errors.js'

const HASH = /^[0-9a-f]{64}$/

interface StubData {
  /** Changes with each save of the session. */
  version: string
  /** Only where the stub has another key than the session. */
  key?: string
}

export class SessionLocks {
  /** Those whose stub has another key than their session. Stores know tickets by identity. */
  readonly #tickets = new WeakMap<Ticket, Ticket>()

  constructor (readonly store: Store) {}

  /** null: there is no stub. */
  async acquire (ticket: Ticket): Promise<Lease | Busy | Moved | null> {
    const answer = await this.store.acquire(this.#ticketFor(ticket))
    if (answer?.outcome !== 'moved' || answer.movedTo === null) return answer
    return { ...answer, movedTo: await this.#sessionKey(answer.movedTo) }
  }

  async cancel (ticket: Ticket): Promise<void> {
    await this.store.cancel?.(this.#ticketFor(ticket))
  }

  /** Throws when there is one. */
  async create (key: string, record: SessionRecord): Promise<void> {
    await this.store.create(stubKey(key), newStub(key, record))
  }

  /** For a session that may have one by now. */
  async ensure (key: string, record: SessionRecord): Promise<void> {
    try {
      await this.create(key, record)
    } catch (error) {
      if (!(error instanceof ConflictError) && await this.store.read(stubKey(key)) === null) throw error
    }
  }

  /** Without waiting; null: there is no stub. */
  async tryAcquire (ticket: Ticket): Promise<Lease | 'busy' | null> {
    const answer = await this.acquire(ticket)
    if (answer?.outcome === 'granted') return answer
    if (answer?.outcome === 'busy') await this.cancel(ticket)
    return answer === null ? null : 'busy'
  }

  async isHeld (key: string): Promise<boolean> {
    const stub = await this.tryAcquire(newTicket(key))
    if (stub === 'busy') return true
    await stub?.release()
    return false
  }

  /** A ticket for a stub is the caller's own, wherever the key fits. */
  #ticketFor (ticket: Ticket): Ticket {
    const key = stubKey(ticket.key)
    if (key === ticket.key) return ticket
    let own = this.#tickets.get(ticket)
    if (own?.key !== key) { // A ticket that follows a regenerated session gets another key.
      const { deadline, maxHold, method, route } = ticket
      own = { key, deadline, maxHold, method, route, wake: () => ticket.wake() }
      this.#tickets.set(ticket, own)
    }
    return own
  }

  /** null, "do not follow", when the stub is gone already. */
  async #sessionKey (key: string): Promise<string | null> {
    const stub = await this.store.read(key)
    return stub === null ? null : dataOf(stub).key ?? key
  }
}

/** For somebody who does not wait. */
export function newTicket (key: string, { maxHold, method, route } = { maxHold: 60_000, method: '-', route: '-' }): Ticket {
  return { key, deadline: Infinity, maxHold, method, route, wake () {} }
}

/** Every store takes a hash as key. The ids of a plugin that does not hash them may be anything. */
export function stubKey (key: string): string {
  return HASH.test(key) ? key : createHash('sha256').update(key).digest('hex')
}

/** A stub of a new version with the times of the session. */
export function newStub (key: string, { createdAt, lastAccessedAt, expiresAt }: SessionRecord): SessionRecord {
  const data: StubData = { version: randomUUID(), ...(stubKey(key) !== key && { key }) }
  return { data: JSON.stringify(data), user: null, createdAt, lastAccessedAt, expiresAt }
}

export function versionOf (stub: SessionRecord): string {
  return dataOf(stub).version
}

export function withTimes (record: SessionRecord, { lastAccessedAt, expiresAt }: SessionTimes): SessionRecord {
  return { ...record, lastAccessedAt, expiresAt }
}

function dataOf ({ data }: SessionRecord): StubData {
  return JSON.parse(String(data))
}
