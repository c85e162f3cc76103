// What a store is. A lock is not a separate thing: it is the handle (`Lease`) through which a session is
// loaded and saved. There is no other way to write to a stored session, so no store can forget the lock.

export type Awaitable<T> = T | Promise<T>

/** Whom a store's lock keeps out: nobody, other requests of this process, of this host, or of all hosts. */
export type StoreScope = 'none' | 'process' | 'host' | 'network'

/** When a session was last used and when it ends, in ms since the epoch. */
export interface SessionTimes {
  lastAccessedAt: number
  expiresAt: number
}

/** A session as a store keeps it. The store does not look into `data`. */
export interface SessionRecord extends SessionTimes {
  /** The encoded data. A store returns the type it was given. */
  data: string | Uint8Array
  /** ms since the epoch; absoluteTimeout counts from here. */
  createdAt: number
  /** Who is logged in, as given to `session.setUser()`. */
  user: string | null
}

/** Somebody who wants the lock of one session. The store keeps what it needs to know about it, by identity. */
export interface Ticket {
  /** SHA-256 of the cookie, `name=id`: 64 lower-case hexadecimal digits. */
  readonly key: string
  /** When it gives up, on the clock of `performance.now()`; Infinity = never. */
  readonly deadline: number
  /** For how long it may hold the lock, in ms. A lease with an end on a server must not outlive it. */
  readonly maxHold: number
  /** Method and route of its request, shown to those who wait in vain. */
  readonly method: string
  readonly route: string
  /** To be called when it is worth asking again. Calling it too often or too late does no harm. */
  wake (): void
}

/** The right to one session: held from `acquire` until it is released, destroyed or lapsed. */
export interface Lease {
  readonly outcome: 'granted'
  /** The session as it was loaded under the lock. */
  readonly record: SessionRecord
  /**
   * Writes the session. After `lapse()` it writes only if nobody holds the lock and nobody has written since;
   * otherwise it throws `FST_SESSION_LOCK_LOST` and writes nothing.
   * With `release: true` writing and unlocking are one step. When it throws, the lease is still to be released.
   */
  save (record: SessionRecord, options?: { release?: boolean }): Awaitable<void>
  /** Moves the expiry without rewriting the data. */
  touch (times: SessionTimes, options?: { release?: boolean }): Awaitable<void>
  /**
   * Deletes the session and ends the lease. `movedTo` is for those who already wait: the key of the session that
   * replaces this one, or null when they must not follow. Newcomers find nothing in either case.
   */
  destroy (options?: { movedTo?: string | null }): Awaitable<void>
  /** Ends the lease. Idempotent; never throws for a lease that is already lost. */
  release (): Awaitable<void>
  /** Lets others in although the holder has not finished. See `save`. */
  lapse (): void
  /**
   * Goes on as the lease of the next ticket of this process, without a word to the server: a store for which that saves
   * a round trip has it. Called instead of a release, a bounded number of times in a row unless the lease is `uncontended`.
   * `record` is what is stored now.
   * null: not possible, e.g. because the session has expired or the lock may be lost; then the lease is to be released.
   */
  pass? (next: Ticket): Lease | null
  /** After a write that kept the lock: nobody outside this process waits, so `pass` keeps nobody out. `pass` resets it. Absent = unknown. */
  readonly uncontended?: boolean
  /** After the release: whether somebody outside this process waits. Absent = no or unknown. */
  readonly contended?: boolean
  /** Tells waiters outside this process what holds the lock. Called once, for a lock that is held for half a second or longer. */
  describe? (): void
}

/** Somebody else holds the lock. The store calls `ticket.wake()` when that may have changed. */
export interface Busy {
  readonly outcome: 'busy'
  /** Ask again after this many ms even without a wake-up. */
  readonly retryAfter: number
  /** What holds the lock, when the store knows. Asked only by those who give up. */
  holder? (): { method: string, route: string, heldFor: number } | null
}

/** The session was replaced while the ticket waited. */
export interface Moved {
  readonly outcome: 'moved'
  /** Where to, or null when those who waited must not follow. */
  readonly movedTo: string | null
  /** When, on the clock of `process.hrtime()` in ms, if known: who began to wait behind this ticket after it is a newcomer, and finds nothing. */
  readonly movedAt?: number
}

export interface StoreContext {
  /** The clock: ms since the epoch. */
  now (): number
  /** Larger records are refused with `FST_SESSION_TOO_LARGE` before they are read into memory. */
  maxRecordSize: number
  log: { debug (details: object, message: string): void, warn (details: object, message: string): void, error (details: object, message: string): void }
}

/** For a store that keeps nothing: the whole session travels in the cookie. */
export interface Carrier {
  /** The cookie value that holds a session. `cookieName` is bound to it: the value is worth nothing in another cookie. */
  seal (id: string, record: SessionRecord, cookieName: string): string
  /** null: damaged, or not sealed by us for this cookie. `renew`: valid, but sealed with an old secret. */
  unseal (value: string, cookieName: string): { id: string, record: SessionRecord, renew: boolean } | null
}

export interface PruneOptions {
  /** Also delete sessions not used since this time (ms since the epoch). */
  idleSince?: number
}

export interface PruneResult {
  deleted: number
  remaining: number
}

/**
 * Where sessions live. Every method may answer at once or with a promise.
 * Missing, expired and unreadable sessions are `null`; a method throws only when the store itself fails.
 * Extend nothing, register nowhere: an object of this shape is a store. `fastify-locked-session/conformance` tests it.
 */
export interface Store {
  readonly scope: StoreScope
  /** 'none': the store cannot lock. Then `locking: 'implicit'` is refused when the plugin is registered. */
  readonly locking?: 'none'
  /** How sessions get into the cookie and out of it, for a store that keeps nothing itself. */
  readonly carrier?: Carrier
  /** Called once before anything else. */
  open? (context: StoreContext): Awaitable<void>
  /** Called once after everything else. Closes only what the store opened. */
  close? (): Awaitable<void>
  /** Locks and loads in one step. */
  acquire (ticket: Ticket): Awaitable<Lease | Busy | Moved | null>
  /** The ticket gives up. If the lock was granted to it meanwhile, pass it on. */
  cancel? (ticket: Ticket): Awaitable<void>
  /** A consistent snapshot; never waits for a lock. */
  read (key: string): Awaitable<SessionRecord | null>
  /** Stores a session under a key that nobody knows yet. Throws when the key exists. */
  create (key: string, record: SessionRecord): Awaitable<void>
  /** All live sessions, each as `[key, record]`. */
  entries (): AsyncIterable<[string, SessionRecord]>
  /** How many live sessions there are. */
  count (): Awaitable<number>
  /** Deletes expired sessions and leftovers of crashes; skips what is locked or unreadable. */
  prune (options?: PruneOptions): Awaitable<PruneResult>
}
