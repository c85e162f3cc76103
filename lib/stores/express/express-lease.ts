// A locked session of an express store. Each write first makes sure through the stub that the lock is still ours.
import type { Lease, SessionRecord, SessionTimes, Ticket } from '../../../types/store.js'
import { LockLostError } from '../../errors.js'
import type { CallbackStore } from './callback-store.js'
import { type DecodedSession, decodeSession, encodeSession } from './session-format.js'
import { newStub, newTicket, type SessionLocks, stubKey, versionOf, withTimes } from './session-locks.js'

/** What all leases of a store share. */
export interface LeaseSource {
  readonly sessions: CallbackStore
  readonly locks: SessionLocks
  now (): number
}

export class ExpressLease implements Lease {
  readonly outcome = 'granted'
  record: SessionRecord
  readonly #source: LeaseSource
  readonly #ticket: Ticket
  readonly #key: string
  /** The lock, by the stub; null: released or lapsed. */
  #stub: Lease | null
  #last: Lease
  #version: string
  #cookie: Record<string, unknown>
  #ended = false
  /** A write is under way: nobody may come in before it has ended, or it would overwrite theirs. */
  #working = false
  #lapseAfterwards = false

  constructor (source: LeaseSource, ticket: Ticket, stub: Lease, { record, cookie }: DecodedSession) {
    this.#source = source
    this.#ticket = ticket
    this.#key = ticket.key
    this.#stub = this.#last = stub
    this.#version = versionOf(stub.record)
    this.#cookie = cookie
    this.record = record
  }

  get contended (): boolean { return this.#last.contended === true }

  async save (record: SessionRecord, options?: { release?: boolean }): Promise<void> {
    await this.#write(async (stub) => {
      await this.#loadAgain()
      await this.#confirm(stub, record)
      await this.#store(record)
    }, options?.release)
  }

  /** `touch` of an express store moves the TTL, but in most of them not the times in the record. So it is a save, of what is stored now. */
  async touch (times: SessionTimes, options?: { release?: boolean }): Promise<void> {
    await this.#write(async (stub) => {
      const record = withTimes(await this.#loadAgain(), times)
      await stub.touch(times)
      await this.#store(record)
    }, options?.release)
  }

  async destroy (options?: { movedTo?: string | null }): Promise<void> {
    await this.#write(async (stub) => {
      await this.#confirm(stub, this.record)
      await this.#source.sessions.destroy(this.#key)
      const movedTo = options?.movedTo
      await stub.destroy(movedTo === undefined ? undefined : { movedTo: movedTo === null ? null : stubKey(movedTo) })
      this.#stub = null
      this.#ended = true
    })
  }

  async release (): Promise<void> {
    const stub = this.#stub
    this.#ended = true
    this.#stub = null
    await stub?.release()
  }

  lapse (): void {
    if (this.#working) {
      this.#lapseAfterwards = true
      return
    }
    this.#stub?.lapse()
    this.#stub = null
  }

  describe (): void {
    this.#stub?.describe?.()
  }

  async #write (action: (stub: Lease) => Promise<void>, release = false): Promise<void> {
    if (this.#ended) throw new LockLostError()
    this.#working = true
    try {
      this.#stub ??= this.#last = await this.#retake()
      await action(this.#stub)
    } finally {
      this.#working = false
      if (this.#lapseAfterwards) this.lapse()
      this.#lapseAfterwards = false
    }
    if (release) await this.release()
  }

  /** Rule S1: who has lapsed may still write if nobody holds the lock now and nobody has written since. */
  async #retake (): Promise<Lease> {
    const stub = await this.#source.locks.tryAcquire(newTicket(this.#key, this.#ticket))
    if (stub === 'busy' || stub === null) throw new LockLostError()
    if (versionOf(stub.record) === this.#version) return stub
    await stub.release()
    throw new LockLostError()
  }

  /**
   * A save never makes a session (S2). The express store cannot say "only if it is there", so look, under the lock.
   * If it is missing before its time, somebody has deleted it who does not know the lock. If its time has come, the store
   * itself has removed it; but under the lock it does not expire.
   */
  async #loadAgain (): Promise<SessionRecord> {
    const { sessions, now } = this.#source
    const stored = await sessions.get(this.#key)
    if (stored === null) {
      if (this.record.expiresAt > now()) throw new LockLostError()
      return this.record
    }
    const session = decodeSession(stored, now())
    if (typeof session === 'string') return this.record
    this.#cookie = session.cookie
    return session.record
  }

  /** Throws when the lock is lost. From here on no late holder of before can write. */
  async #confirm (stub: Lease, record: SessionRecord): Promise<void> {
    const next = newStub(this.#key, record)
    await stub.save(next)
    this.#version = versionOf(next)
  }

  async #store (record: SessionRecord): Promise<void> {
    const { sessions, now } = this.#source
    await sessions.set(this.#key, encodeSession(record, now(), this.#cookie))
    this.record = record
  }
}
