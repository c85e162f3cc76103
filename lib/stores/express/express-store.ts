// Sessions in a store for express-session. Such a store cannot lock, so the locks are kept beside it: in this process,
// or in another store of ours that lends its locks to all processes of the host or the network.
import type { Busy, Lease, Moved, PruneOptions, PruneResult, SessionRecord, Store, StoreContext, StoreScope, Ticket } from '../../../types/store.js'
import { quietly } from '../../awaitable.js'
import { ConflictError, InvalidOptionError, UnsupportedError } from '../../errors.js'
import { checkAll, objectWith, positiveDuration } from '../../options/check.js'
import { MemoryStore } from '../memory.js'
import { CallbackStore, type ExpressSessionStore, UNPARSABLE } from './callback-store.js'
import { ExpressLease, type LeaseSource } from './express-lease.js'
import { type DecodedSession, decodeSession, encodeSession } from './session-format.js'
import { newTicket, SessionLocks } from './session-locks.js'

export interface ExpressStoreOptions {
  /** A store for express-session or @fastify/session. The application makes it and closes it. */
  store: ExpressSessionStore
  /**
   * A store of this package, or any other with locks. Its locks are used, and its scope. It needs a place of its own (a
   * directory, a key prefix, a table), holds a small record for each session, and is opened and closed by this store.
   * Without it the locks are in memory: they keep out other requests of this process only.
   */
  lock?: Store
  /**
   * For how long to wait for a callback of `store`, in ms. After that the request fails with
   * `FST_SESSION_STORE_UNAVAILABLE`; a write may still take place later. Default 5000.
   */
  timeout?: number
}

/** So many stubs of unlocked sessions are kept in memory. A session without one gets a new one. */
const MAX_STUBS = 10_000
/** A stub may expire or be removed between being made and being locked; not so often in a row. */
const MAX_ATTEMPTS = 5

interface LockedSession {
  readonly outcome: 'locked'
  readonly stub: Lease
  readonly session: DecodedSession
}

export class ExpressStore implements Store {
  readonly scope: StoreScope
  readonly #sessions: CallbackStore
  readonly #locks: SessionLocks
  readonly #leases: LeaseSource
  #context: StoreContext | null = null

  constructor (options: ExpressStoreOptions) {
    checkAll(options, {
      store: objectWith('get', 'set', 'destroy'),
      lock: objectWith('acquire', 'read', 'create', 'prune'),
      timeout: positiveDuration
    })
    const { store, lock = new MemoryStore({ max: MAX_STUBS }), timeout = 5000 } = options
    if (store === undefined) throw new InvalidOptionError('store', 'is missing: give a store for express-session')
    if (lock.scope === 'none') throw new InvalidOptionError('lock', 'must be a store that locks')
    this.scope = lock.scope
    this.#sessions = new CallbackStore(store, timeout)
    this.#locks = new SessionLocks(lock)
    this.#leases = { sessions: this.#sessions, locks: this.#locks, now: () => this.#now() }
  }

  async open (context: StoreContext): Promise<void> {
    this.#context = context
    await this.#locks.store.open?.(context)
  }

  /** Closes the store of the locks, which it has opened; not the express store. */
  async close (): Promise<void> {
    await this.#locks.store.close?.()
  }

  async acquire (ticket: Ticket): Promise<Lease | Busy | Moved | null> {
    const answer = await this.#lock(ticket)
    if (answer?.outcome !== 'locked') return answer
    const { stub, session } = answer
    if (session.record.expiresAt > this.#now()) return new ExpressLease(this.#leases, ticket, stub, session)
    await this.#delete(ticket.key, stub)
    return null
  }

  async cancel (ticket: Ticket): Promise<void> {
    await this.#locks.cancel(ticket)
  }

  async read (key: string): Promise<SessionRecord | null> {
    const session = await this.#load(key)
    if (session === null) return null
    // A session does not expire while somebody holds its lock (S2).
    return session.record.expiresAt > this.#now() || await this.#locks.isHeld(key) ? session.record : null
  }

  /** The stub comes first: of many that create one session, one succeeds. */
  async create (key: string, record: SessionRecord): Promise<void> {
    if (await this.#sessions.get(key) !== null) throw new ConflictError('exists already')
    await this.#locks.create(key, record)
    try {
      await this.#sessions.set(key, encodeSession(record, this.#now()))
    } catch (error) {
      quietly(async () => { await this.#removeStub(key) })
      throw error
    }
  }

  async * entries (): AsyncGenerator<[string, SessionRecord]> {
    for (const key of await this.#keys()) {
      const record = await this.read(key)
      if (record !== null) yield [key, record]
    }
  }

  /** Reads every session. A store that cannot list them is asked for its `length()`, which may count expired ones. */
  async count (): Promise<number> {
    if (!this.#sessions.canList && !this.#sessions.canCount) throw new UnsupportedError('count its sessions: the express store has neither ids(), all() nor length()')
    if (!this.#sessions.canList) return await this.#sessions.length()
    let live = 0
    for await (const entry of this.entries()) if (entry !== undefined) live++
    return live
  }

  /** If the express store cannot list its sessions, it has to remove them itself, and only stubs are left to remove. */
  async prune ({ idleSince = -Infinity }: PruneOptions = {}): Promise<PruneResult> {
    const { canList } = this.#sessions
    if (!canList && idleSince !== -Infinity) {
      this.#context?.log.warn({}, 'The express store cannot list its sessions, so none was deleted for being old')
    }
    const result = canList ? await this.#pruneSessions(idleSince) : { deleted: 0, remaining: await this.#sessions.length() }
    await this.#locks.store.prune()
    return result
  }

  // ---- locking and loading ----

  /** Locks and loads; also a session that has expired. */
  async #lock (ticket: Ticket): Promise<LockedSession | Busy | Moved | null> {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const answer = await this.#locks.acquire(ticket)
      if (answer?.outcome === 'granted') return await this.#loadLocked(ticket.key, answer)
      if (answer !== null) return answer
      // Written by an application without this package, or its stub is gone.
      const session = await this.#load(ticket.key)
      if (session === null || session.record.expiresAt <= this.#now()) return null
      await this.#locks.ensure(ticket.key, session.record)
    }
    throw new Error('The lock of the session disappears again and again')
  }

  async #loadLocked (key: string, stub: Lease): Promise<LockedSession | null> {
    try {
      const stored = await this.#sessions.get(key)
      const session = stored === null ? null : this.#decode(stored)
      if (session !== null) return { outcome: 'locked', stub, session }
      if (stored === null) await stub.destroy() // Its session was deleted by somebody else, or never written.
    } catch (error) {
      quietly(() => stub.release())
      throw error
    }
    await stub.release()
    return null
  }

  async #load (key: string): Promise<DecodedSession | null> {
    const stored = await this.#sessions.get(key)
    return stored === null ? null : this.#decode(stored)
  }

  #decode (stored: unknown): DecodedSession | null {
    const session = stored === UNPARSABLE ? 'it is not JSON' : decodeSession(stored, this.#now())
    if (typeof session !== 'string') return session
    this.#context?.log.warn({ reason: session }, 'A session in the express store cannot be read; its visitor gets a new one')
    return null
  }

  // ---- deleting ----

  async #pruneSessions (idleSince: number): Promise<PruneResult> {
    const isOver = ({ expiresAt, lastAccessedAt }: SessionRecord) => expiresAt <= this.#now() || lastAccessedAt < idleSince
    let deleted = 0
    let remaining = 0
    for (const key of await this.#keys()) {
      const session = await this.#load(key)
      if (session === null) continue
      if (isOver(session.record) && await this.#deleteIf(key, isOver)) deleted++
      else remaining++
    }
    return { deleted, remaining }
  }

  /** Without waiting for the lock: a locked session is left alone (C1). */
  async #deleteIf (key: string, isOver: (record: SessionRecord) => boolean): Promise<boolean> {
    const ticket = newTicket(key)
    const answer = await this.#lock(ticket)
    if (answer === null) return await this.#deleteExpired(key)
    if (answer.outcome === 'busy') await this.#locks.cancel(ticket)
    if (answer.outcome !== 'locked') return false
    if (isOver(answer.session.record)) {
      await this.#delete(key, answer.stub)
      return true
    }
    await answer.stub.release()
    return false
  }

  /** An expired session without a stub is locked by nobody, and cannot be. */
  async #deleteExpired (key: string): Promise<boolean> {
    const session = await this.#load(key)
    if (session === null || session.record.expiresAt > this.#now()) return false
    await this.#sessions.destroy(key)
    return true
  }

  async #delete (key: string, stub: Lease): Promise<void> {
    try {
      await this.#sessions.destroy(key)
      await stub.destroy()
    } catch (error) {
      quietly(() => stub.release())
      throw error
    }
  }

  async #removeStub (key: string): Promise<void> {
    const stub = await this.#locks.tryAcquire(newTicket(key))
    if (stub !== 'busy') await stub?.destroy()
  }

  async #keys (): Promise<string[]> {
    if (!this.#sessions.canList) throw new UnsupportedError('list its sessions: the express store has neither ids() nor all()')
    return await this.#sessions.keys()
  }

  #now (): number {
    return this.#context?.now() ?? Date.now()
  }
}
