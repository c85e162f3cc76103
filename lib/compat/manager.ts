// fastify.sessions: sessions outside of a request, for websockets, jobs and admin pages.
import type { PruneResult, Store, StoreScope } from '../../types/store.js'
import { NotFoundError, ReadOnlyError, storeError } from '../errors.js'
import { SessionManager } from '../manager.js'
import type { WorkPolicy } from '../session/unit-of-work.js'
import type { SessionService } from '../session-service.js'
import type { CompatCookie } from './cookie-codec.js'
import type { CompatOptions } from './compat-request.js'
import { SectionSession } from './section-session.js'
import { SessionObject, type SessionKeeper } from './session-object.js'
import type { FastifySessionObject } from './types.js'

export class CompatManager {
  readonly #service: SessionService
  readonly #cookie: CompatCookie
  readonly #settings: CompatOptions
  readonly #policy: WorkPolicy
  /** For all that does not look into a session. */
  readonly #plain: SessionManager

  /** @internal */
  constructor (service: SessionService, cookie: CompatCookie, settings: CompatOptions) {
    this.#service = service
    this.#cookie = cookie
    this.#settings = settings
    const { lockTimeout, maxWaiters, maxHold } = service.options
    this.#policy = { lockTimeout, maxWaiters, maxHold, locking: 'explicit' }
    this.#plain = new SessionManager(service, { idsIn: header => cookie.idsIn(header), carriedIn: () => null })
  }

  /** The store with its locks. `request.sessionStore` is the one that was given. */
  get store (): Store { return this.#service.store }
  /** Whom the lock keeps out: 'process' for every store that is not one of this package. */
  get scope (): StoreScope { return this.#service.store.scope }

  /** The session of an id as it stands in the store, to look at; null when there is none. Never waits for the lock. */
  async get (id: string): Promise<FastifySessionObject | null> {
    const record = await this.#service.read(this.#service.keyOf(id))
    return record === null ? null : this.#readOnly(id, record.data as string)
  }

  /**
   * All live sessions, as `[key, session]`, to look at. The key is the id, or its SHA-256 in a store of this package;
   * `destroy()` takes either. Throws `FST_SESSION_UNSUPPORTED` for other stores than ours and MemoryStore.
   */
  async * entries (): AsyncGenerator<[key: string, session: FastifySessionObject]> {
    try {
      for await (const [key, record] of this.store.entries()) yield [key, this.#readOnly(key, record.data as string)]
    } catch (error) {
      throw storeError(error)
    }
  }

  /** How many live sessions there are. Throws as `entries()`. */
  async count (): Promise<number> {
    return await this.#plain.count()
  }

  /** Waits for the lock, then deletes the session of an id, or of a key from `entries()`. Resolves to whether there was one. */
  async destroy (idOrKey: string): Promise<boolean> {
    try {
      await this.#section().run(idOrKey, session => session.destroy())
      return true
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error
      return await this.#plain.destroy(idOrKey)
    }
  }

  /** Deletes expired sessions, as far as the store does not do it itself. Skips locked ones. */
  async prune (): Promise<PruneResult> {
    return await this.#plain.prune()
  }

  /** What happened since the start; `locks` counts all plugins of this process that share the store. Durations in ms. */
  stats (): ReturnType<SessionManager['stats']> {
    return this.#plain.stats()
  }

  /**
   * A locked section: waits for the lock, loads, runs `fn`, saves, unlocks, and resolves to what `fn` returned. Takes a
   * session id, or a Cookie header as it came (for a websocket). If `fn` throws, nothing is saved.
   * Rejects with `FST_SESSION_NOT_FOUND` when there is no such session.
   */
  async with<T> (idOrCookieHeader: string, fn: (session: FastifySessionObject) => T | Promise<T>): Promise<T> {
    const id = idOrCookieHeader.includes(`${this.#cookie.name}=`) ? await this.#resolve(idOrCookieHeader) : idOrCookieHeader
    return await this.#section().run(id, fn as unknown as (session: SessionObject) => T | Promise<T>)
  }

  /** Of several cookies of our name only one may name a live session. */
  async #resolve (cookieHeader: string): Promise<string> {
    const live = []
    for (const { id } of this.#cookie.idsIn(cookieHeader)) {
      if (await this.#service.read(this.#service.keyOf(id)) !== null) live.push(id)
    }
    const [id] = live
    if (id === undefined || live.length > 1) throw new NotFoundError()
    return id
  }

  #section (): SectionSession {
    return new SectionSession(this.#service, this.#policy, this.#cookie, this.#settings)
  }

  #readOnly (id: string, data: string): FastifySessionObject {
    const refuse = async () => { throw new ReadOnlyError('it cannot be changed here') }
    const keeper: SessionKeeper = { protocol: null, sign: id => this.#cookie.sign(id), save: refuse, reload: refuse, destroy: refuse, regenerate: refuse }
    return new SessionObject(keeper, id, this.#settings.cookie, JSON.parse(data)) as unknown as FastifySessionObject
  }
}
