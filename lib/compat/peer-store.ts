// Makes a store of sessions out of one with get(), set() and destroy(), as express-session and @fastify/session use
// them. Such a store cannot lock, so the lock is one of this process. What is stored is what those plugins
// store: the data and `cookie` side by side, under the session id itself.
import type { Busy, Lease, PruneResult, SessionRecord, SessionTimes, Store, StoreScope, Ticket } from '../../types/store.js'
import { attempt, type Awaitable, chain } from '../awaitable.js'
import { LockLostError, UnsupportedError } from '../errors.js'
import { Cookie, toDate } from './cookie.js'
import { MemoryStore } from './memory-store.js'
import type { SessionStore, StoredSessionData } from './types.js'

const BUSY: Busy = { outcome: 'busy', retryAfter: 1000 }
/** For sessions that end with the browser, of which no server knows the time. */
const NEVER = Number.MAX_SAFE_INTEGER

/** Who holds a session, who waits for it, and who has lost it. Kept only while there is somebody. */
interface Entry {
  holder: PeerLease | null
  waiting: Set<Ticket>
  /** Rises with each write. */
  version: number
  users: number
}

const known = new WeakMap<SessionStore, PeerStore>()

/** One for each store: two registrations with the same store must share its locks. */
export function peerStoreFor (peer: SessionStore): PeerStore {
  let store = known.get(peer)
  if (store === undefined) known.set(peer, store = new PeerStore(peer))
  return store
}

export class PeerStore implements Store {
  readonly scope: StoreScope = 'process'
  readonly #entries = new Map<string, Entry>()

  constructor (private readonly peer: SessionStore) {}

  acquire (ticket: Ticket): Awaitable<Lease | Busy | null> {
    const { key } = ticket
    const entry = this.#entryOf(key)
    if (entry.holder !== null) {
      entry.waiting.add(ticket)
      return BUSY
    }
    entry.waiting.delete(ticket)
    const lease = new PeerLease(this, key, entry)
    return attempt(() => this.#load(key), (record) => {
      if (record === null) {
        lease.release()
        return null
      }
      lease.record = record
      return lease
    }, (error) => {
      lease.release()
      throw error
    })
  }

  cancel (ticket: Ticket): void {
    const entry = this.#entries.get(ticket.key)
    if (entry === undefined) return
    entry.waiting.delete(ticket)
    this.forgetIdle(ticket.key, entry)
  }

  read (key: string): Awaitable<SessionRecord | null> {
    return chain(this.#get(key), (record) => record === null || record.expiresAt <= Date.now() ? null : record)
  }

  create (key: string, record: SessionRecord): Awaitable<void> {
    return this.set(key, record)
  }

  async * entries (): AsyncGenerator<[string, SessionRecord]> {
    const { inMemory } = this
    if (inMemory === null) throw new UnsupportedError('list its sessions')
    for (const key of [...inMemory.keys()]) {
      const record = await this.read(key)
      if (record !== null) yield [key, record]
    }
  }

  count (): number {
    const { inMemory } = this
    if (inMemory === null) throw new UnsupportedError('count its sessions')
    let live = 0
    for (const session of inMemory.values()) if (expiryOf(session) > Date.now()) live++
    return live
  }

  /** Removes from memory what has expired; other stores expire sessions themselves. */
  prune (): PruneResult {
    const sessions = this.inMemory
    if (sessions === null) return { deleted: 0, remaining: 0 }
    let deleted = 0
    for (const [key, session] of sessions) {
      if (expiryOf(session) > Date.now() || this.#entries.has(key)) continue
      sessions.delete(key)
      deleted++
    }
    return { deleted, remaining: sessions.size }
  }

  /** The sessions of a MemoryStore. Stores of others inherit from it, and then `store` may be anything. */
  private get inMemory (): Map<string, StoredSessionData> | null {
    return this.peer instanceof MemoryStore && this.peer.store instanceof Map ? this.peer.store : null
  }

  // ---- for leases ----

  set (key: string, record: SessionRecord): Awaitable<void> {
    return this.#ask(done => this.peer.set(key, revive(record), done))
  }

  touch (key: string, record: SessionRecord): Awaitable<void> {
    const { peer } = this
    const session = revive(record)
    if (session.cookie?.originalMaxAge) session.cookie.expires = new Date(record.expiresAt)
    return this.#ask(done => peer.touch === undefined ? peer.set(key, session as any, done) : peer.touch(key, session, done))
  }

  destroy (key: string): Awaitable<void> {
    return this.#ask(done => this.peer.destroy(key, done))
  }

  forgetIdle (key: string, entry: Entry): void {
    if (entry.users === 0 && entry.waiting.size === 0 && this.#entries.get(key) === entry) this.#entries.delete(key)
  }

  // ---- inside ----

  #entryOf (key: string): Entry {
    let entry = this.#entries.get(key)
    if (entry === undefined) this.#entries.set(key, entry = { holder: null, waiting: new Set(), version: 0, users: 0 })
    return entry
  }

  /** Under the lock, so that what has expired can be removed. */
  #load (key: string): Awaitable<SessionRecord | null> {
    return chain(this.#get(key), (record) => {
      if (record === null || record.expiresAt > Date.now()) return record
      return chain(this.destroy(key), () => null)
    })
  }

  #get (key: string): Awaitable<SessionRecord | null> {
    const found = this.#ask<StoredSessionData | null | undefined>(done => this.peer.get(key, done), null)
    return chain(found, (session) => {
      if (typeof session !== 'object' || session === null) return null
      const now = Date.now()
      return { data: JSON.stringify(session), createdAt: now, lastAccessedAt: now, expiresAt: expiryOf(session), user: null }
    })
  }

  /** Answers at once if the store does. `missing`: what "no such file" means, as file stores say it. */
  #ask<T = void> (call: (done: (error?: any, result?: any) => void) => unknown, missing?: T): Awaitable<T> {
    let answer: { error: any, value: any } | null = null
    let tell: (() => void) | null = null
    const returned = call((error, value) => {
      answer ??= { error: error?.code === 'ENOENT' && missing !== undefined ? null : error, value: error ? missing : value }
      tell?.()
    })
    // Some stores call back and return a promise, too; its rejection is the same failure.
    if (returned instanceof Promise) returned.catch((error) => { answer ??= { error, value: null }; tell?.() })
    const result = () => {
      if (answer!.error) throw answer!.error
      return answer!.value as T
    }
    if (answer !== null) return result()
    return new Promise<void>((resolve) => { tell = resolve }).then(result)
  }
}

class PeerLease implements Lease {
  readonly outcome = 'granted'
  record!: SessionRecord
  #version: number
  #over = false

  constructor (private readonly store: PeerStore, private readonly key: string, private readonly entry: Entry) {
    entry.holder = this
    entry.users++
    this.#version = entry.version
  }

  save (record: SessionRecord, options?: { release?: boolean }): Awaitable<void> {
    this.#assertMine()
    this.#version = ++this.entry.version
    return chain(this.store.set(this.key, record), () => {
      this.record = record
      if (options?.release === true) this.release()
    })
  }

  touch (times: SessionTimes, options?: { release?: boolean }): Awaitable<void> {
    this.#assertMine()
    this.record = { ...this.record, ...times }
    return chain(this.store.touch(this.key, this.record), () => {
      if (options?.release === true) this.release()
    })
  }

  destroy (): Awaitable<void> {
    this.#assertMine()
    // A save of somebody who has lost the lock is refused from now on.
    this.#version = ++this.entry.version
    return chain(this.store.destroy(this.key), () => this.release())
  }

  release (): void {
    if (this.#over) return
    this.#over = true
    this.entry.users--
    this.lapse()
  }

  lapse (): void {
    const { entry } = this
    if (entry.holder === this) {
      entry.holder = null
      const waiting = [...entry.waiting]
      entry.waiting.clear()
      for (const ticket of waiting) ticket.wake()
    }
    this.store.forgetIdle(this.key, entry)
  }

  /** Rule S1: the holder may write; after a lapse also whoever finds the session free and as it was loaded. */
  #assertMine (): void {
    const { entry } = this
    const mine = entry.holder === this || (entry.holder === null && entry.version === this.#version)
    if (!mine || this.#over) throw new LockLostError()
  }
}

function expiryOf (session: StoredSessionData): number {
  return toDate(session.cookie?.expires)?.getTime() ?? NEVER
}

/** As stores expect it: an object whose cookie has dates and maxAge. They read the time to live from there. */
function revive (record: SessionRecord): StoredSessionData {
  const session = JSON.parse(record.data as string) as StoredSessionData
  const cookie = new Cookie(session.cookie ?? {}, null)
  // The constructor counts maxAge from now; what is stored is what was said at the save.
  cookie.expires = toDate(session.cookie?.expires)
  if (session.cookie !== undefined) session.cookie = cookie
  return session
}
