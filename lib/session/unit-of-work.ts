// One session as one request uses it: under which lock, in which sections, and until when it may be written.
// Whatever a handler does to its session ends here; the Session object is only its face.
import type { Locking } from '../../types/options.js'
import { type Awaitable, chain } from '../awaitable.js'
import { CommittedError, DestroyedError, NotFoundError, NotLockedError, ReadOnlyError, storeError } from '../errors.js'
import { ChainLink, currentLink, isInside, type LockUser, runInside } from '../lock/call-chain.js'
import type { LockQueue } from '../lock/lock-queue.js'
import type { LockLimits } from '../lock/waiter.js'
import type { SessionContext } from './session-context.js'
import { type Checkpoint, StoredSession, type WorkOwner } from './stored-session.js'

/** The rules for one request. */
export interface WorkPolicy extends LockLimits {
  readonly locking: Locking
}

/** A running withSessionLock(): the outermost one of its call chain. */
interface Section {
  readonly link: ChainLink
  /** It took the lock itself, so it gives it back. */
  readonly owns: boolean
  /** The reply was sent from inside it, and its changes were saved with it. */
  closed: boolean
}

export class UnitOfWork implements LockUser {
  readonly stored: StoredSession
  /** The application asked to clear the cookie, whatever else happens. */
  expireCookie = false
  /** Saved for good: no more writes, except in later sections. */
  committed = false

  readonly #locking: Locking
  /** Writes are allowed: the lock is held, or there is nothing yet to lock. */
  #locked = false
  #destroyed = false
  #section: Section | null = null
  /** The place of the handler in the call chain. */
  #handler: ChainLink | null = null
  /** Sibling sections of one request run one after the other. */
  #lastSection: Promise<unknown> | null = null
  #committing: Awaitable<void> = undefined

  constructor (service: SessionContext, policy: WorkPolicy, owner: WorkOwner) {
    this.#locking = policy.locking
    this.stored = new StoredSession(service, policy, owner)
  }

  get locked (): boolean { return this.#locked }

  /** Reads outside the lock must not hand out objects that look writable. */
  get readsAreFrozen (): boolean { return !this.#locked || this.#isOver }

  /** Throws unless the session may be written now; `what` completes "so …". */
  assertWritable (what: string): void {
    this.#assertOpen(what)
    if (this.#destroyed) throw new DestroyedError(what)
    if (!this.#locked) throw new NotLockedError(what)
  }

  // ---- the request's own lock ----

  /** Begins a request that brings no session. */
  beginNew (): void {
    // What does not exist yet needs no lock to be written.
    this.#locked = this.#locking === 'implicit'
  }

  /** Begins a request that brings an id: locks and loads, or only reads, as its route says. */
  begin (id: string): Awaitable<void> {
    this.beginNew()
    const key = this.stored.service.keyOf(id)
    return this.#locked ? this.stored.lockAndLoad(id, key) : this.stored.read(id, key)
  }

  /** Does nothing when the lock is held already. */
  async acquireLock (): Promise<void> {
    this.#assertOpen('it cannot be locked')
    if (this.#locked) return
    await this.#lock()
    if (!this.#isOver) return
    // The reply was sent meanwhile, so nobody else would give it back.
    await this.#unlock()
    throw new CommittedError('it cannot be locked')
  }

  /** Saves first. */
  async releaseLock (): Promise<void> {
    if (!this.#locked || this.#section !== null) throw new NotLockedError('there is no lock to release')
    await this.#saveAndUnlock()
  }

  /** Makes the lock of the request known to what its handler calls, until it is saved for good. */
  handlerBegins (outer: ChainLink | undefined): ChainLink {
    this.#handler = new ChainLink(this, outer)
    if (this.committed) this.#handler.end()
    return this.#handler
  }

  /** Whether the request itself, not one of its sections, holds the lock of the key. */
  holds (queue: LockQueue, key: string): boolean {
    return this.#section?.owns !== true && this.stored.holds(queue, key)
  }

  // ---- sections ----

  /** Rule L4: locked, freshly loaded, saved, unlocked; rolled back when `fn` throws. Rule L5: nested calls enter at once. */
  withLock<T> (fn: () => T | Promise<T>): Promise<T> {
    const isNested = this.#section !== null && isInside(this.#section.link)
    const section = isNested ? this.#runNested(fn) : this.#runSection(this.#lastSection, fn)
    if (!isNested) this.#lastSection = section
    return section
  }

  async #runNested<T> (fn: () => T | Promise<T>): Promise<T> {
    this.#assertOpen('it cannot be locked: the section around this call was saved with the reply')
    return await fn()
  }

  async #runSection<T> (previous: Promise<unknown> | null, fn: () => T | Promise<T>): Promise<T> {
    if (this.#locking === 'readonly') throw new ReadOnlyError('it cannot be locked')
    if (previous !== null) await previous.catch(() => {})
    const owns = !this.#locked
    const section: Section = { link: new ChainLink(this.stored, currentLink()), owns, closed: false }
    let before!: Checkpoint
    const enter = () => {
      before = this.stored.checkpoint()
      this.#section = section
    }
    if (owns) await this.#lock(enter)
    else enter()
    // A section that runs on after the reply was sent gives back the request's lock, too.
    const unlocks = () => owns || this.committed
    try {
      const result = await runInside(section.link, fn)
      if (!section.closed && !unlocks()) await this.stored.write()
      // Asked again: a reply that was sent meanwhile has left the lock to this section.
      if (!section.closed && unlocks()) await this.#saveAndUnlock()
      return result
    } catch (error) {
      if (!section.closed) {
        this.stored.rollBack(before)
        if (unlocks()) await this.#unlock()
      }
      throw error
    } finally {
      section.link.end()
      this.#section = null
    }
  }

  // ---- the end of the request ----

  /**
   * Saves, unlocks, freezes. Once; later calls join the first.
   * `keep: false` drops the changes made since the last save. A section that still runs keeps the lock and ends by
   * itself, unless the reply was sent from inside it: then it ends here.
   */
  commit (keep: boolean): Awaitable<void> {
    const section = this.#section
    const fromInside = section !== null && !section.closed && isInside(section.link)
    if (this.committed && !fromInside) return this.#committing
    this.committed = true
    this.#handler?.end()
    if (fromInside) {
      section.closed = true
      section.link.letGo()
    } else if (section !== null) return
    if (!keep) this.stored.revert()
    this.#committing = this.#locked ? this.#saveAndUnlock() : this.stored.whenIdle(() => this.stored.touchUnlocked())
    return this.#committing
  }

  /** Saves now. Takes the lock when it is not held. */
  async save (): Promise<void> {
    this.#assertOpen('it cannot be saved')
    if (this.#locked) await this.stored.write()
    else await this.withLock(() => {})
  }

  // ---- reading again ----

  /** Reads the store again; drops changes. Under the lock nobody else can have written. */
  async reload (): Promise<void> {
    const { stored } = this
    stored.revert()
    if (stored.hold === null && stored.key !== null) await stored.read(stored.id, stored.key)
  }

  touch (): void {
    this.#assertOpen('its expiry cannot be moved')
    this.stored.touchAsked = true
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
      const { stored } = this
      const { hold: old, values, user, service } = stored
      const keys = keep === true ? values.keys() : (keep ?? []).filter(key => values.has(key))
      stored.forget()
      this.#destroyed = false
      for (const key of keys) stored.values.set(key, values.get(key))
      stored.setUser(keep === true ? user : null)
      try {
        // The new session is stored and locked before the old one says where it went.
        await stored.write()
        if (old === null) return
        if (stored.record === null && !stored.isEmpty) throw new CommittedError('it cannot be regenerated: the new id would not reach the client')
        if (stored.cookieAction === 'none') stored.cookieAction = 'clear'
        await old.destroy(keep === true ? stored.key : null)
        service.stats.regenerations++
      } catch (error) {
        if (stored.hold !== old) await stored.release()
        throw storeError(error)
      }
    })
  }

  /** Deletes the session at once and clears the cookie. Writes throw from now on, until regenerate(). */
  async destroy (): Promise<void> {
    this.#assertOpen('it cannot be destroyed')
    this.stored.revert()
    await this.withLock(async () => {
      const { stored } = this
      const { hold, service } = stored
      stored.forget()
      if (hold !== null) {
        stored.cookieAction = 'clear'
        try {
          await hold.destroy()
        } catch (error) {
          throw storeError(error)
        }
        service.stats.destroys++
      }
      this.#destroyed = true
    })
  }

  /** For calls outside a request: one locked section on an existing session. */
  only<T> (id: string, fn: () => T | Promise<T>): Promise<T> {
    const { stored } = this
    stored.id = id
    stored.key = stored.service.keyOf(id)
    return this.withLock(() => {
      if (stored.record === null) throw new NotFoundError()
      return fn()
    })
  }

  // ---- inside ----

  /** The reply is on its way, and no section runs that may still write. */
  get #isOver (): boolean { return this.committed && (this.#section === null || this.#section.closed) }

  #assertOpen (what: string): void {
    if (this.#locking === 'readonly') throw new ReadOnlyError(what)
    if (this.#isOver) throw new CommittedError(what)
  }

  /** `enter` runs in the same moment in which the lock is taken: a commit in between would give it back. */
  #lock (enter?: () => void): Awaitable<void> {
    return this.stored.whenIdle(() => {
      const { id, key } = this.stored
      return chain(key === null ? undefined : this.stored.lockAndLoad(id, key), () => {
        this.#locked = true
        enter?.()
      })
    })
  }

  #saveAndUnlock (): Awaitable<void> {
    // At once: what is written while the store is still busy would not be saved.
    this.#locked = false
    return this.stored.writeAndRelease()
  }

  async #unlock (): Promise<void> {
    this.#locked = false
    await this.stored.release()
  }
}
