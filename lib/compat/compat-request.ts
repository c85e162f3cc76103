// The session of one request as an application of @fastify/session uses it. Loading, locking and saving are those
// of every other session; here is only when a session is worth saving, and how its data get in and out.
import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Awaitable, chain } from '../awaitable.js'
import { DestroyedError, NotLockedError } from '../errors.js'
import type { RoutePolicy } from '../options/route-options.js'
import { RequestSession } from '../request/request-session.js'
import type { SessionService } from '../session-service.js'
import type { CompatCookie, CookieSubject } from './cookie-codec.js'
import type { CookieOptions } from './cookie.js'
import { PeerStore } from './peer-store.js'
import { kCookieOptions, kCopyTo, kLifetime, kMarkClean, kMarkModified, kMarkSaved, kRefill, SessionObject, type SessionKeeper } from './session-object.js'

export interface CompatOptions {
  readonly cookie: CookieOptions
  readonly rolling: boolean
  readonly saveUninitialized: boolean
  readonly idGenerator: (request?: FastifyRequest) => string
}

export class CompatRequest extends RequestSession implements SessionKeeper, CookieSubject {
  #object: SessionObject | null = null
  #destroyed = false
  /** save() or regenerate() was called: the session is stored although its cookie may not be sent. */
  #forced = false
  #making = false
  /** The handler still ran when the session was saved. */
  #mayChangeLate = false
  /** What the cookie of a session begins with. */
  #cookie: CookieOptions

  constructor (
    service: SessionService,
    private readonly codec: CompatCookie,
    request: FastifyRequest,
    reply: FastifyReply,
    policy: RoutePolicy,
    private readonly settings: CompatOptions
  ) {
    super(service, codec, request, reply, policy)
    this.#cookie = settings.cookie
  }

  get protocol (): string { return this.request.protocol }

  /** What request.session is; null once it is destroyed. */
  get visible (): SessionObject | null {
    // An idGenerator that looks at the request finds no session yet.
    if (this.#making) return {} as SessionObject
    return this.#destroyed ? null : this.object
  }

  get object (): SessionObject {
    this.#object ??= this.#make()
    return this.#object
  }

  // ---- CookieSubject ----

  get cookieAttributes (): SessionObject['cookie'] { return this.object.cookie }
  get isForced (): boolean { return this.#forced }

  // ---- WorkOwner ----

  override newId (): string {
    return this.object.sessionId
  }

  get lifetime (): number | undefined { return this.object[kLifetime] }

  // ---- SessionKeeper ----

  sign (id: string): string {
    return this.codec.sign(id)
  }

  async save (session: SessionObject): Promise<void> {
    this.#assertCurrent(session)
    if (!this.work.locked && session.isModified()) throw new NotLockedError('it cannot be saved')
    if (this.work.locked) this.#flush()
    await this.#force(() => this.work.save())
    session[kMarkSaved]()
  }

  async reload (session: SessionObject): Promise<void> {
    this.#assertCurrent(session)
    const { stored } = this.work
    // What is not stored yet has nothing to reload; the store is asked only so that its failure is told.
    if (stored.key === null) await this.service.read(this.service.keyOf(session.sessionId))
    await this.work.reload()
    session[kRefill](this.#storedData(), this.#storedText())
  }

  async destroy (session: SessionObject): Promise<void> {
    this.#assertCurrent(session)
    const { store } = this.service
    const isStored = this.work.stored.key !== null
    this.#destroyed = true
    await this.work.destroy()
    // The application may have stored something under the id without us.
    if (!isStored && store instanceof PeerStore) await store.destroy(session.sessionId)
  }

  async regenerate (session: SessionObject, keep: string[]): Promise<void> {
    this.#assertCurrent(session)
    const kept = keep.filter(key => key !== 'cookie' && Object.hasOwn(session, key))
    const next = new SessionObject(this, this.settings.idGenerator(this.request), session[kCookieOptions] as CookieOptions, null)
    for (const key of kept) next.set(key, session[key])
    const stores = this.settings.saveUninitialized || kept.length > 0
    this.#flush()
    this.work.stored.values.set('cookie', next.cookie.toJSON())
    this.#object = next
    try {
      await this.#force(() => this.work.regenerate(stores ? [...kept, 'cookie'] : []))
    } catch (error) {
      this.#object = session
      throw error
    }
    if (stores) next[kMarkSaved]()
  }

  /** fastify.decryptSession() on the request at hand: it goes on with the session of this id, a new one if there is none. */
  async switchTo (id: string | null, cookie: CookieOptions): Promise<void> {
    const { work } = this
    if (work.stored.hold !== null) await work.releaseLock()
    work.stored.forget()
    if (id === null) work.beginNew()
    else await work.begin(id)
    this.#destroyed = false
    this.#cookie = cookie
    this.#object = null
  }

  // ---- sections ----

  /** request.withSessionLock(): `fn` sees the data as they are under the lock. */
  async section<T> (fn: (session: SessionObject) => T | Promise<T>): Promise<T> {
    const { work } = this
    const wasModified = work.locked && this.object.isModified()
    if (wasModified) this.#flush()
    try {
      const result = await work.withLock(async () => {
        const { id } = work.stored
        if (id === null || id === this.object.sessionId) this.object[kRefill](this.#presentData())
        else this.#object = this.#make()
        const result = await fn(this.object)
        if (!this.#destroyed && this.object.isModified()) this.#flush()
        return result
      })
      if (!this.#destroyed) this.object[kMarkClean]()
      return result
    } catch (error) {
      if (!this.#destroyed) {
        this.object[kRefill](this.#presentData())
        if (wasModified) this.object[kMarkModified]()
      }
      throw error
    }
  }

  // ---- the end ----

  override commit (): Awaitable<void> {
    const { work } = this
    if (this.#destroyed) return super.commit()
    const { object } = this
    const lost = !work.committed && !work.locked && object.isModified()
    let flushed = false
    if (!work.committed) this.#mayChangeLate = !this.handlerReturned
    if (!work.committed && work.locked) {
      if (this.#isWorthSaving()) {
        this.#flush()
        flushed = true
      } else {
        // What a failed save() has left there is not tried again.
        work.stored.revert()
      }
    }
    // Also for a second call, so that it ends after the first.
    return chain(super.commit(), () => {
      if (lost) throw new NotLockedError('what was written to it is lost')
      const { stored } = work
      if (flushed) object[kMarkClean](this.#storedText())
      if (stored.cookieAction !== 'none') return
      if (object.isSaved()) stored.cookieAction = 'set'
      // The cookie names no session, and none was made in its place.
      else if (stored.record === null && this.codec.isIn(this.request)) stored.cookieAction = 'clear'
    })
  }

  /** Stores whatever the connection is, because the application asked for it by name. */
  async #force (action: () => Promise<void>): Promise<void> {
    const before = this.#forced
    this.#forced = true
    try {
      await action()
    } catch (error) {
      this.#forced = before
      throw error
    }
  }

  override handlerSettled (): void {
    super.handlerSettled()
    if (this.#mayChangeLate && !this.#destroyed && this.#object?.isModified() === true) {
      this.request.log.warn({ method: this.method, route: this.route }, 'The session was changed after the reply was sent; the change is lost')
    }
  }

  #isWorthSaving (): boolean {
    const { record } = this.work.stored
    return (record === null ? this.settings.saveUninitialized : this.settings.rolling) || this.object.isModified()
  }

  #flush (): void {
    this.object[kCopyTo](this.work.stored.values)
  }

  #make (): SessionObject {
    const { id } = this.work.stored
    this.#making = true
    try {
      return new SessionObject(this, id ?? this.settings.idGenerator(this.request), this.#cookie, this.#storedData(), this.#storedText())
    } finally {
      this.#making = false
    }
  }

  #storedData (): Record<string, any> | null {
    const { stored } = this.work
    return stored.record === null ? null : stored.values.all()
  }

  #storedText (): string | undefined {
    return this.work.stored.record?.data as string | undefined
  }

  /** A copy of what would be stored if nothing more was written. */
  #presentData (): Record<string, any> | null {
    const { values } = this.work.stored
    return values.size === 0 ? null : JSON.parse(values.encode(Infinity) as string)
  }

  #assertCurrent (session: SessionObject): void {
    if (this.#destroyed || session !== this.#object) throw new DestroyedError('it cannot be used any more')
  }
}
