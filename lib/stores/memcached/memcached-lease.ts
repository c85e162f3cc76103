// A locked session. Each write is a compare-and-swap on the data, so memcached itself refuses what is not based on the
// last version. The lock decides who may try.
//
// Sure of the lock (same connection, lease renewed in time): the write and the release go in one packet. The next holder of a lock that
// was not released makes our CAS invalid before it reads, so a write that arrives too late is refused.
// Not sure (after lapse(), a late renewal, a new connection): #retake() first takes the lock again, if nobody holds it
// and the stored version is the one that was loaded. Then the write is like the other.
import type { Lease, SessionRecord, SessionTimes, Ticket } from '../../../types/store.js'
import { quietly } from '../../awaitable.js'
import { LockLostError } from '../../errors.js'
import type { MetaConnection } from './meta-connection.js'
import { get, remove, type Reply, set } from './meta-protocol.js'
import { assertFits, decodeRecord, encodeRecord, itemTTL, type StoredRecord } from './record-format.js'
import type { ItemKeys } from './item-keys.js'
import { decodeLock, encodeLock, lockTTL, type LockValue } from './session-lock.js'
import { expectStatus } from './expect-status.js'

/** How long (s) those who wait may take to see where the session has gone. They ask many times a second. */
const MOVED_LASTS = 30

export interface LeaseContext {
  /** For how long a holder is sure of its lock, in ms. */
  readonly lease: number
  connect (): Promise<MetaConnection>
  /** Reads the mark of those who wait; returns whether it is of another process. */
  released (mark: Reply): boolean
}

export interface Locked {
  connection: MetaConnection
  keys: ItemKeys
  ticket: Ticket
  lock: LockValue
  lockCas: string
  dataCas: string
  stored: StoredRecord
  /** performance.now() before the lock was asked for. */
  since: number
}

export class MemcachedLease implements Lease {
  readonly outcome = 'granted'
  contended = false
  record: SessionRecord
  #connection: MetaConnection
  #lockCas: string
  #dataCas: string
  #version: string
  /** Until when the server keeps others out for sure, on the clock of performance.now(). */
  #until: number
  /** Released, destroyed or lapsed: the lock is not ours any more, and is not renewed. */
  #ended = false
  #renewal: Promise<void> | null = null
  #timer: NodeJS.Timeout | undefined
  readonly #keys: ItemKeys
  readonly #lock: LockValue
  readonly #ticket: Ticket
  readonly #since: number

  constructor (private readonly context: LeaseContext, locked: Locked) {
    this.record = locked.stored.record
    this.#version = locked.stored.version
    this.#connection = locked.connection
    this.#lockCas = locked.lockCas
    this.#dataCas = locked.dataCas
    this.#keys = locked.keys
    this.#lock = locked.lock
    this.#ticket = locked.ticket
    this.#since = locked.since
    this.#until = locked.since + this.#leaseFrom(locked.since)
    this.#renewLater()
  }

  async save (record: SessionRecord, options?: { release?: boolean }): Promise<void> {
    const { bytes, version } = encodeRecord(record)
    assertFits(bytes, this.#connection.maxItemSize)
    await this.#own()
    // After a lapse others may come at any time, so the lock is kept for this one write only.
    const release = options?.release === true || this.#ended
    const write = set(this.#keys.data, bytes, `C${this.#dataCas} T${itemTTL(record)} c`)
    const [written, ...rest] = await this.#connection.exchange(release ? [write, ...this.#unlock()] : [write])
    if (release) this.#end(rest.at(-1))
    this.#expectOurs(written!)
    this.#dataCas = written!.cas
    this.#version = version
    this.record = record
  }

  /** memcached cannot change a part of an item, so this is a save. */
  async touch (times: SessionTimes, options?: { release?: boolean }): Promise<void> {
    await this.save({ ...this.record, ...times }, options)
  }

  async destroy (options?: { movedTo?: string | null }): Promise<void> {
    await this.#own()
    const { data, moved } = this.#keys
    const movedTo = options?.movedTo
    const commands = [remove(data, this.#dataCas), ...this.#unlock()]
    // Before the session goes: who finds no session looks for this.
    if (movedTo !== undefined) commands.unshift(set(moved, JSON.stringify({ movedTo, at: wallClock() }), `T${MOVED_LASTS}`))
    const replies = await this.#connection.exchange(commands)
    this.#end(replies.at(-1))
    const removed = replies[movedTo === undefined ? 0 : 1]!
    if (removed.status === 'HD') return
    if (movedTo !== undefined) await this.#connection.exchange([remove(moved)])
    this.#expectOurs(removed)
  }

  async release (): Promise<void> {
    if (this.#ended) return
    this.#end()
    try {
      await this.#renewal
      const replies = await this.#connection.exchange(this.#unlock())
      this.contended = this.context.released(replies.at(-1)!)
    } catch {} // It frees itself when the lease is over.
  }

  lapse (): void {
    // The mark of those who wait comes too late for the queue, which goes on at once.
    quietly(() => this.release())
  }

  /** Resolves when this lease may write: it holds the lock. Throws LockLostError. */
  async #own (): Promise<void> {
    if (this.#renewal !== null) await this.#renewal
    const sure = !this.#ended && this.#connection.error === null && performance.now() < this.#until
    if (!sure) await this.#retake()
  }

  /** Rule S1, for one who may have lost the lock: nobody holds it, and the stored version is the loaded one. */
  async #retake (): Promise<void> {
    const { lock, data } = this.#keys
    const connection = await this.context.connect()
    const now = performance.now()
    const lease = this.#leaseFrom(now)
    const [added, held, stored] = await connection.exchange([
      set(lock, encodeLock(this.#lock), `ME ${lockTTL(lease)} c`), get(lock, 'v c'), get(data, 'v c')
    ])
    expectStatus(added!, 'HD', 'NS')
    // Ours, too: an answer that got lost.
    const ours = added!.status === 'HD' || (held!.status === 'VA' && decodeLock(held!.value)?.token === this.#lock.token)
    if (!ours) throw new LockLostError()
    this.#connection = connection
    this.#lockCas = added!.status === 'HD' ? added!.cas : held!.cas
    const found = stored!.value === null ? null : decodeRecord(stored!.value)
    if (found?.version !== this.#version) {
      await connection.exchange([remove(lock, this.#lockCas)])
      throw new LockLostError()
    }
    this.#dataCas = stored!.cas
    this.#until = now + lease
  }

  /** Frees the lock if it is ours, and looks whether somebody waits. */
  #unlock (): Buffer[] {
    return [remove(this.#keys.lock, this.#lockCas), get(this.#keys.wait, 'v')]
  }

  /** `mark`: the answer about those who wait. */
  #end (mark?: Reply): void {
    this.#ended = true
    clearTimeout(this.#timer)
    if (mark !== undefined) this.contended = this.context.released(mark)
  }

  #expectOurs (reply: Reply): void {
    expectStatus(reply, 'HD', 'EX', 'NF', 'NS')
    if (reply.status !== 'HD') throw new LockLostError()
  }

  /** How long a lease may be that begins at `now`: in ms, never beyond maxHold. */
  #leaseFrom (now: number): number {
    return Math.max(0, Math.min(this.context.lease, this.#since + this.#ticket.maxHold - now))
  }

  #renewLater (): void {
    this.#timer = setTimeout(() => {
      this.#renewal = this.#renew().finally(() => { this.#renewal = null })
    }, this.context.lease / 3).unref()
  }

  async #renew (): Promise<void> {
    const now = performance.now()
    const lease = this.#leaseFrom(now)
    if (lease === 0) return
    try {
      // Not sure of it any more: taken again if nobody had it meanwhile, else given up.
      if (this.#connection.error !== null || now >= this.#until) {
        await this.#retake()
      } else {
        const [renewed] = await this.#connection.exchange([set(this.#keys.lock, encodeLock(this.#lock), `C${this.#lockCas} ${lockTTL(lease)} c`)])
        if (renewed!.status === 'HD') {
          this.#lockCas = renewed!.cas
          this.#until = now + lease
        } else {
          this.#until = 0
        }
      }
    } catch (error) {
      if (error instanceof LockLostError) return
    }
    if (!this.#ended) this.#renewLater()
  }
}

/** ms since the epoch with fractions: Date.now() counts whole ones, and a newcomer can come within one. */
export function wallClock (): number {
  return performance.timeOrigin + performance.now()
}
