// fastify.sessions: sessions outside of a request, for jobs, sockets, admin pages and logging out everywhere.
import type { PruneResult, SessionRecord, Store, StoreScope } from '../types/store.js'
import type { SessionCookie } from './cookie/session-cookie.js'
import { CommittedError, NotFoundError, storeError } from './errors.js'
import type { LockStats } from './lock/lock-stats.js'
import type { SessionService } from './session-service.js'
import { isKey, isWellFormed } from './session/id.js'
import { Session } from './session/session.js'
import type { SessionContext, SessionStats } from './session/session-context.js'
import type { WorkOwner } from './session/stored-session.js'
import { UnitOfWork } from './session/unit-of-work.js'

/** Named as the holder of locks that are taken outside of requests. */
const OUTSIDE: WorkOwner = {
  method: 'sessions',
  route: 'with()',
  mayCreate () {
    throw new CommittedError('a new id cannot reach the client outside of a request')
  },
  newId () {
    throw new CommittedError('a new id cannot reach the client outside of a request')
  }
}

type CookieReader = Pick<SessionCookie, 'idsIn' | 'carriedIn'>

export class SessionManager {
  readonly #service: SessionService
  readonly #cookie: CookieReader

  /** @internal */
  constructor (service: SessionService, cookie: CookieReader) {
    this.#service = service
    this.#cookie = cookie
  }

  get store (): Store { return this.#service.store }
  /** Whom the lock keeps out. An application that runs on many hosts can refuse to start on less than 'network'. */
  get scope (): StoreScope { return this.#service.store.scope }

  /** The session of an id as it stands in the store, read-only; null when there is none. Never waits for the lock. */
  async get (id: string): Promise<Session | null> {
    if (!isWellFormed(id)) return null
    const key = this.#service.keyOf(id)
    const record = await this.#service.read(key)
    return record === null ? null : this.#readOnly(id, key, record)
  }

  /**
   * All live sessions, as `[key, session]`; the sessions are read-only. The key is the SHA-256 of the id: it is no valid
   * cookie, but `destroy()` takes it. Sessions that come or go meanwhile may or may not be among them.
   */
  async * entries (): AsyncGenerator<[key: string, session: Session]> {
    for await (const [key, record] of this.#records()) {
      const session = this.#readOnly(null, key, record)
      if (session !== null) yield [key, session]
    }
  }

  /** How many live sessions there are. A file store reads all of its files for it. */
  async count (): Promise<number> {
    return await this.#ask(() => this.store.count())
  }

  /** Waits for the lock, then deletes the session of an id, or of a key from `entries()`. Resolves to whether there was one. */
  async destroy (idOrKey: string): Promise<boolean> {
    if (!isWellFormed(idOrKey)) return false
    return await this.#destroyKey(this.#service.keyOf(idOrKey)) || (isKey(idOrKey) && await this.#destroyKey(idOrKey))
  }

  /**
   * Deletes all sessions of a user, as given to `session.setUser()`, also those that log in while it runs.
   * `except`: an id to keep, usually that of the request at hand. Resolves to how many were deleted. Reads every session.
   */
  async destroyByUser (user: string, options: { except?: string | null } = {}): Promise<number> {
    const kept = typeof options.except === 'string' ? this.#service.keyOf(options.except) : null
    let deleted = 0
    for (let found = -1; found !== 0;) {
      found = 0
      for await (const [key, record] of this.#records()) {
        if (record.user === user && key !== kept && await this.#destroyKey(key, user)) found++
      }
      deleted += found
    }
    return deleted
  }

  /** Deletes expired sessions and leftovers of crashes. Skips locked ones. */
  async prune (): Promise<PruneResult> {
    return await this.#ask(() => this.store.prune())
  }

  /** Deletes expired sessions, and all that were not used for so many minutes. */
  async deleteOlderThan (minutes: number): Promise<PruneResult> {
    if (typeof minutes !== 'number' || !(minutes >= 0)) throw new TypeError('deleteOlderThan() takes a number of minutes')
    return await this.#ask(() => this.store.prune({ idleSince: this.#service.options.now() - minutes * 60_000 }))
  }

  /** What happened since the start; `locks` counts all plugins of this process that share the store. Durations in ms. */
  stats (): SessionStats & { locks: LockStats } {
    return { ...this.#service.stats, locks: this.#service.locks.stats() }
  }

  /**
   * A locked section outside of a request: waits for the lock, loads, runs `fn`, saves, unlocks, and resolves to what
   * `fn` returned. Takes a session id, or a Cookie header as it came (for a websocket). If `fn` throws, nothing is saved.
   * Rejects with `FST_SESSION_NOT_FOUND` when there is no such session.
   */
  async with<T> (idOrCookieHeader: string, fn: (session: Session) => T | Promise<T>): Promise<T> {
    const { id, context } = isWellFormed(idOrCookieHeader)
      ? { id: idOrCookieHeader, context: this.#service }
      : await this.#resolve(idOrCookieHeader)
    const work = new UnitOfWork(context, { ...this.#limits(), locking: 'explicit' }, OUTSIDE)
    const session = new Session(work)
    return await work.only(id, () => fn(session))
  }

  async #resolve (cookieHeader: string): Promise<{ id: string, context: SessionContext }> {
    const context = this.#contextOf(cookieHeader)
    const live = []
    for (const { id } of this.#cookie.idsIn(cookieHeader)) {
      if (await context.read(context.keyOf(id)) !== null) live.push(id)
    }
    const [id] = live
    if (id === undefined || live.length > 1) throw new NotFoundError()
    return { id, context }
  }

  /** Where the sessions of a Cookie header are: in the store, or in the header itself. */
  #contextOf (cookieHeader: string): SessionContext {
    const carried = this.#cookie.carriedIn(cookieHeader, OUTSIDE.mayCreate)
    return carried === null ? this.#service : this.#service.on(carried)
  }

  /** `onlyOf`: delete it only if it still belongs to this user once it is locked. */
  async #destroyKey (key: string, onlyOf?: string): Promise<boolean> {
    const { locks } = this.#service
    const hold = await locks.acquire(locks.waiter(key, this.#limits(), OUTSIDE))
    if (hold === null) return false
    try {
      if (onlyOf !== undefined && hold.record.user !== onlyOf) return false
      await hold.destroy()
      this.#service.stats.destroys++
      return true
    } catch (error) {
      throw storeError(error)
    } finally {
      await hold.release()
    }
  }

  #limits () {
    const { lockTimeout, maxWaiters, maxHold } = this.#service.options
    return { lockTimeout, maxWaiters, maxHold }
  }

  #readOnly (id: string | null, key: string, record: SessionRecord): Session | null {
    const work = new UnitOfWork(this.#service, { ...this.#limits(), locking: 'readonly' }, OUTSIDE)
    return work.stored.accept(id, key, record) ? new Session(work) : null
  }

  async * #records (): AsyncGenerator<[string, SessionRecord]> {
    try {
      yield * this.store.entries()
    } catch (error) {
      throw storeError(error)
    }
  }

  async #ask<T> (question: () => T | Promise<T>): Promise<T> {
    try {
      return await question()
    } catch (error) {
      throw storeError(error)
    }
  }
}
