// One session as one request uses it: loads it, takes and gives back its lock, and writes what changed.
// Whatever a handler does to its session ends here; the Session object is only its face.
import type { Locking } from '../../types/options.js'
import type { SessionRecord, SessionTimes } from '../../types/store.js'
import { type Awaitable, run, type Steps } from '../awaitable.js'
import { CommittedError, DestroyedError, NotFoundError, NotLockedError, ReadOnlyError, storeError, TooLargeError } from '../errors.js'
import { type ChainLink, currentLink, isInside, runInside } from '../lock/call-chain.js'
import type { Hold } from '../lock/hold.js'
import type { LockQueue } from '../lock/lock-queue.js'
import type { LockLimits, Waiter } from '../lock/waiter.js'
import type { SessionService } from '../session-service.js'
import { keyOf } from './id.js'
import { SessionValues } from './session-values.js'

/** Who works on the session, and under which rules. */
export interface WorkPolicy extends LockLimits {
  readonly locking: Locking
}

export type CookieAction = 'none' | 'set' | 'clear'

/** Whoever the work is done for: a request, or a call outside of one. */
export interface WorkOwner {
  readonly method: string
  readonly route: string
  /** Whether a cookie with a new id can reach the client. False: nothing is stored. Throws when the caller must know. */
  mayCreate (): boolean
}

/** A running withSessionLock(): the outermost one of its call chain. */
interface Section extends ChainLink {
  /** It took the lock itself, so it gives it back. */
  readonly owns: boolean
  /** The reply was sent from inside it, and its changes were saved with it. */
  closed: boolean
}

/** The state that a section comes back to when it throws. */
interface Checkpoint {
  readonly values: SessionValues
  readonly raw: string | Uint8Array | null
  readonly id: string | null
  readonly key: string | null
  readonly record: SessionRecord | null
  readonly hold: Hold | null
  readonly user: string | null
  readonly userChanged: boolean
  readonly isNew: boolean
  readonly destroyed: boolean
  readonly cookieAction: CookieAction
}

export class UnitOfWork {
  /** null until the session is first saved; also after following a session that another process regenerated. */
  id: string | null = null
  isNew = true
  user: string | null = null
  /** What the reply must do with the cookie. */
  cookieAction: CookieAction = 'none'
  /** The application asked to clear the cookie, whatever else happens. */
  expireCookie = false
  /** Saved for good: no more writes, except in later sections. */
  committed = false
  values: SessionValues

  readonly #service: SessionService
  readonly #policy: WorkPolicy
  readonly #owner: WorkOwner
  /** As stored; null: not stored. */
  #record: SessionRecord | null = null
  #key: string | null = null
  #hold: Hold | null = null
  #waiter: Waiter | null = null
  /** Writes are allowed: the lock is held, or there is nothing yet to lock. */
  #unlocked = true
  #userChanged = false
  #touchAsked = false
  #destroyed = false
  #section: Section | null = null
  /** Sibling sections of one request run one after the other. */
  #lastSection: Promise<unknown> | null = null
  #committing: Awaitable<void> = undefined

  constructor (service: SessionService, policy: WorkPolicy, owner: WorkOwner) {
    this.#service = service
    this.#policy = policy
    this.#owner = owner
    this.values = new SessionValues(null, service.options.serializer)
  }

  // ---- what a Session shows ----

  get locked (): boolean { return !this.#unlocked }
  get locking (): Locking { return this.#policy.locking }
  get times (): SessionTimes & { createdAt: number } { return this.#record ?? this.#newRecord('') }
  /** Whether the session is stored, as far as this request knows. */
  get exists (): boolean { return this.#record !== null }
  /** Reads outside the lock must not hand out objects that look writable. */
  get readsAreFrozen (): boolean { return this.#unlocked || (this.committed && this.#section === null) }

  assertWritable (what: string): void {
    if (this.#policy.locking === 'readonly') throw new ReadOnlyError(what)
    if (this.committed && this.#section === null) throw new CommittedError(what)
    if (this.#destroyed) throw new DestroyedError(what)
    if (this.#unlocked) throw new NotLockedError(what)
  }

  setUser (user: string | null): void {
    if (user === this.user) return
    this.user = user
    this.#userChanged = true
  }

  // ---- the request's own lock ----

  /** Begins a request that brings no session. */
  beginNew (): void {
    // What does not exist yet needs no lock to be written.
    if (this.#policy.locking === 'implicit') this.#unlocked = false
  }

  /** Begins a request that brings an id: locks and loads, or only reads, as its route says. */
  begin (id: string): Awaitable<void> {
    this.beginNew()
    const key = keyOf(id)
    return run(this.#unlocked ? this.#read(id, key) : this.#lockAndLoad(id, key))
  }

  /** Stops waiting for the lock; what waited rejects with WAIT_CANCELLED. */
  cancelWait (): void {
    if (this.#waiter !== null) this.#service.locks.cancel(this.#waiter)
  }

  /** Does nothing when the lock is held already. */
  async acquireLock (): Promise<void> {
    this.#assertOpen('it cannot be locked')
    if (this.#unlocked) await run(this.#lock())
  }

  /** Saves first. */
  async releaseLock (): Promise<void> {
    if (this.#unlocked || this.#section?.owns === true) throw new NotLockedError('there is no lock to release')
    await run(this.#writeAndRelease())
  }

  /** Whether the request itself, not one of its sections, holds the lock of the key. */
  holds (queue: LockQueue, key: string): boolean {
    return this.#section?.owns !== true && this.#hold !== null && this.#hold.isOf(queue, key)
  }

  // ---- sections ----

  /** Rule L4: locked, freshly loaded, saved, unlocked; rolled back when `fn` throws. Rule L5: nested calls enter at once. */
  async withLock<T> (fn: () => T | Promise<T>): Promise<T> {
    if (this.#policy.locking === 'readonly') throw new ReadOnlyError('it cannot be locked')
    if (this.#section !== null && isInside(this.#section)) return await fn()
    const section = this.#runSection(this.#lastSection, fn)
    this.#lastSection = section.catch(() => {})
    return await section
  }

  async #runSection<T> (previous: Promise<unknown> | null, fn: () => T | Promise<T>): Promise<T> {
    if (previous !== null) await previous
    const owns = this.#unlocked
    if (owns) await run(this.#lock())
    const before = this.#checkpoint()
    const section: Section = {
      owns,
      closed: false,
      outer: currentLink(),
      holds: (queue, key) => this.#section === section && this.#hold !== null && this.#hold.isOf(queue, key)
    }
    this.#section = section
    try {
      const result = await runInside(section, fn)
      if (!section.closed) await run(this.#endSection(owns))
      return result
    } catch (error) {
      if (!section.closed) {
        this.#rollBack(before)
        if (owns || this.committed) await this.#release()
      }
      throw error
    } finally {
      this.#section = null
    }
  }

  #checkpoint (): Checkpoint {
    return {
      values: this.values,
      raw: this.values.snapshot(),
      id: this.id,
      key: this.#key,
      record: this.#record,
      hold: this.#hold,
      user: this.user,
      userChanged: this.#userChanged,
      isNew: this.isNew,
      destroyed: this.#destroyed,
      cookieAction: this.cookieAction
    }
  }

  #rollBack (before: Checkpoint): void {
    if (this.values !== before.values) {
      // It was regenerated or destroyed meanwhile. If that succeeded it stands, and only what came later is dropped.
      if (before.hold?.isHeld !== true) return this.revert()
      this.values = before.values
      this.id = before.id
      this.#key = before.key
      this.#record = before.record
      this.#hold = before.hold
      this.isNew = before.isNew
      this.#destroyed = before.destroyed
      this.cookieAction = before.cookieAction
    }
    this.values.restore(before.raw)
    this.user = before.user
    this.#userChanged = before.userChanged
  }

  /** A section that runs on after the reply was sent gives back the request's lock, too. */
  #endSection (owns: boolean): Steps<void> {
    return owns || this.committed ? this.#writeAndRelease() : this.#write(false)
  }

  // ---- the end of the request ----

  /**
   * Saves, unlocks, freezes. Once; later calls join the first.
   * `keep: false` drops the changes made since the last save. A section that still runs keeps the lock and ends by
   * itself, unless the reply was sent from inside it: then it ends here.
   */
  commit (keep: boolean): Awaitable<void> {
    if (this.committed) return this.#committing
    this.committed = true
    if (this.#section !== null) {
      if (!isInside(this.#section)) return
      this.#section.closed = true
    }
    if (!keep) this.revert()
    this.#committing = run(this.#unlocked ? this.#touchUnlocked() : this.#writeAndRelease())
    return this.#committing
  }

  /** Saves now. Takes the lock when it is not held. */
  async save (): Promise<void> {
    this.#assertOpen('it cannot be saved')
    if (this.#unlocked) await this.withLock(() => {})
    else await run(this.#write(false))
  }

  // ---- reading again ----

  /** Drops all changes since the last save. */
  revert (): void {
    this.values.revert()
    this.user = this.#record?.user ?? null
    this.#userChanged = false
  }

  /** Reads the store again; drops changes. Under the lock nobody else can have written. */
  async reload (): Promise<void> {
    this.revert()
    if (this.#hold === null && this.#key !== null) await run(this.#read(this.id, this.#key))
  }

  /** Moves the expiry at the end of the request, however short ago it was moved. */
  touch (): void {
    this.#assertOpen('its expiry cannot be moved')
    this.#touchAsked = true
  }

  // ---- lifecycle ----

  /**
   * A new id; the old one is dead at once. `true` keeps all data, and requests that already wait follow.
   * An array keeps those keys, nothing keeps none; then those who wait are refused: a request that somebody
   * queued under a planted id must not find itself in the session that logs in.
   */
  async regenerate (keep?: true | readonly string[]): Promise<void> {
    this.#assertOpen('it cannot be regenerated')
    await this.withLock(async () => {
      const old = this.#hold
      const user = keep === true ? this.user : null
      const keys = keep === true ? this.values.keys() : (keep ?? []).filter(key => this.values.has(key))
      const kept = keys.map(key => [key, this.values.get(key)] as const)
      this.#forget()
      this.#destroyed = false
      for (const [key, value] of kept) this.values.set(key, value)
      this.setUser(user)
      try {
        // The new session is stored and locked before the old one says where it went.
        await run(this.#write(false))
        if (old === null) return
        if (this.cookieAction === 'none') this.cookieAction = 'clear'
        await old.destroy(keep === true ? this.#key : null)
        this.#service.stats.regenerations++
      } catch (error) {
        if (this.#hold !== old) await this.#hold?.release()
        throw storeError(error)
      }
    })
  }

  /** Deletes the session at once and clears the cookie. Writes throw from now on, until regenerate(). */
  async destroy (): Promise<void> {
    this.#assertOpen('it cannot be destroyed')
    this.revert()
    await this.withLock(async () => {
      const old = this.#hold
      this.#forget()
      this.#destroyed = true
      if (old === null) return
      this.cookieAction = 'clear'
      try {
        await old.destroy()
        this.#service.stats.destroys++
      } catch (error) {
        throw storeError(error)
      }
    })
  }

  /** For calls outside a request: one locked section on an existing session. */
  async only<T> (id: string, fn: () => T | Promise<T>): Promise<T> {
    this.id = id
    this.#key = keyOf(id)
    return await this.withLock(() => {
      if (this.#record === null) throw new NotFoundError()
      return fn()
    })
  }

  // ---- inside ----

  #assertOpen (what: string): void {
    if (this.#policy.locking === 'readonly') throw new ReadOnlyError(what)
    if (this.committed && this.#section === null) throw new CommittedError(what)
  }

  /** Takes the lock of a session that is not locked, and loads it afresh. */
  * #lock (): Steps<void> {
    if (this.#key !== null) yield * this.#lockAndLoad(this.id, this.#key)
    this.#unlocked = false
  }

  * #lockAndLoad (id: string | null, key: string): Steps<void> {
    const hold = yield * this.#acquire(key)
    // Who followed a regenerated session knows only its key: the new id went to the client in another reply.
    if (hold !== null && this.#accept(hold.key === key ? id : null, hold.key, hold.record)) {
      this.#hold = hold
    } else {
      this.#forget()
      yield hold?.release()
    }
  }

  * #acquire (key: string): Steps<Hold | null> {
    const { locks } = this.#service
    this.#waiter = locks.waiter(key, this.#policy, this.#owner)
    try {
      return (yield locks.acquire(this.#waiter)) as Hold | null
    } finally {
      this.#waiter = null
    }
  }

  * #read (id: string | null, key: string): Steps<void> {
    let record
    try {
      record = (yield this.#service.store.read(key)) as SessionRecord | null
    } catch (error) {
      throw storeError(error)
    }
    if (record === null || !this.#accept(id, key, record)) this.#forget()
  }

  /** Takes over what the store had. False: it has outlived absoluteTimeout, or cannot be read (rule C2). */
  #accept (id: string | null, key: string, record: SessionRecord): boolean {
    const { options, log } = this.#service
    if (record.data.length > options.maxRecordSize) throw new TooLargeError(record.data.length, options.maxRecordSize)
    if (record.createdAt + options.absoluteTimeout <= options.now()) return false
    try {
      this.values = new SessionValues(record.data, options.serializer)
    } catch (cause) {
      log.warn({ cause }, 'A stored session could not be decoded; its visitor gets a new one')
      return false
    }
    this.id = id
    this.#key = key
    this.#record = record
    this.user = record.user
    this.#userChanged = false
    this.isNew = false
    return true
  }

  /** From here on this is a new session, without id and data. */
  #forget (): void {
    this.#hold = null
    this.id = null
    this.#key = null
    this.#record = null
    this.user = null
    this.#userChanged = false
    this.isNew = true
    this.values = new SessionValues(null, this.#service.options.serializer)
  }

  /** Writes what changed; nothing when nothing did. */
  * #write (release: boolean): Steps<void> {
    if (this.#record === null) return yield * this.#create(release)
    const { stats, options } = this.#service
    const encoded = this.values.encodeIfChanged(options.maxRecordSize)
    const changed = encoded !== null || this.#userChanged
    const times = this.#timesAfter(this.#record, changed)
    if (changed) {
      const record = { ...this.#record, ...times, data: encoded ?? this.#record.data, user: this.user }
      yield this.#hold!.save(record, release)
      this.#saved(record)
      stats.saves++
    } else if (times !== null) {
      yield this.#hold!.touch(times, release)
      this.#saved({ ...this.#record, ...times })
      stats.touches++
    } else if (release) {
      yield this.#hold!.release()
    }
    if (times !== null && this.id !== null) this.cookieAction = 'set'
  }

  /** Stores a new session, if there is anything in it, under a new id. Locks it when more is to come. */
  * #create (release: boolean): Steps<void> {
    const { options, store, stats } = this.#service
    if (this.#destroyed || (this.values.size === 0 && this.user === null)) return
    if (!this.#owner.mayCreate()) return
    const record = this.#newRecord(this.values.encode(options.maxRecordSize))
    const id = this.#service.newId()
    const key = keyOf(id)
    // Said before the store has answered: a hijacked reply cannot wait for it.
    this.id = id
    this.cookieAction = 'set'
    try {
      yield store.create(key, record)
    } catch (error) {
      this.id = null
      this.cookieAction = 'none'
      throw error
    }
    this.#key = key
    this.#saved(record)
    stats.creates++
    if (!release) this.#hold = yield * this.#acquire(key)
  }

  /** Whatever happens, the lock is free afterwards. */
  * #writeAndRelease (): Steps<void> {
    try {
      yield * this.#write(true)
    } catch (error) {
      yield this.#hold?.release()
      throw storeError(error)
    } finally {
      this.#hold = null
      this.#unlocked = true
    }
  }

  async #release (): Promise<void> {
    const hold = this.#hold
    this.#hold = null
    this.#unlocked = true
    await hold?.release()
  }

  /** A visit without the lock moves the expiry, if the lock happens to be free. If not, its holder moves it. */
  * #touchUnlocked (): Steps<void> {
    const key = this.#key
    if (this.#record === null || key === null || this.#timesAfter(this.#record, false) === null) return
    const { locks, stats } = this.#service
    try {
      const hold = (yield locks.tryAcquire(locks.waiter(key, this.#policy, this.#owner))) as Hold | null
      if (hold === null) return
      const times = this.#timesAfter(hold.record, false)
      if (times === null) return yield hold.release()
      yield hold.touch(times, true)
      stats.touches++
      this.#record = { ...hold.record, ...times }
      if (this.id !== null) this.cookieAction = 'set'
    } catch (error) {
      throw storeError(error)
    }
  }

  #saved (record: SessionRecord): void {
    this.#record = record
    this.#userChanged = false
    this.#touchAsked = false
    this.values.markSaved(record.data)
  }

  /** The session's times after this visit; null: they stay. They move in steps of touchInterval, and the cookie with them. */
  #timesAfter (record: SessionRecord, changed: boolean): SessionTimes | null {
    const { rolling, touchInterval, now } = this.#service.options
    const lastAccessedAt = now()
    if (!this.#touchAsked && (!(rolling || changed) || lastAccessedAt - record.lastAccessedAt < touchInterval)) return null
    return { lastAccessedAt, expiresAt: this.#expiryAt(lastAccessedAt, record.createdAt) }
  }

  #expiryAt (now: number, createdAt: number): number {
    const { idleTimeout, absoluteTimeout } = this.#service.options
    return Math.min(now + idleTimeout, createdAt + absoluteTimeout)
  }

  #newRecord (data: SessionRecord['data']): SessionRecord {
    const now = this.#service.options.now()
    return { data, createdAt: now, lastAccessedAt: now, expiresAt: this.#expiryAt(now, now), user: this.user }
  }
}
