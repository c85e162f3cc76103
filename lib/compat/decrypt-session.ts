// fastify.decryptSession(): a session for code that has only the cookie's value, such as a websocket.
import { attempt, type Awaitable, chain } from '../awaitable.js'
import { ConflictError } from '../errors.js'
import type { WorkPolicy } from '../session/unit-of-work.js'
import { UnitOfWork } from '../session/unit-of-work.js'
import type { WorkOwner } from '../session/stored-session.js'
import type { SessionService } from '../session-service.js'
import type { CompatCookie } from './cookie-codec.js'
import type { CookieOptions } from './cookie.js'
import type { CompatOptions } from './compat-request.js'
import { kCookieOptions, kCopyTo, kLifetime, kMarkSaved, kRefill, SessionObject, type SessionKeeper } from './session-object.js'

/** Nothing stays locked here, because nobody says when it ends. A save is refused if somebody else has saved since. */
export class DetachedSession implements SessionKeeper, WorkOwner {
  readonly method = 'decryptSession'
  readonly route = '()'
  #data: string | null = null
  #saving: SessionObject | null = null

  constructor (
    private readonly service: SessionService,
    private readonly codec: CompatCookie,
    private readonly settings: CompatOptions,
    private readonly policy: WorkPolicy,
    private readonly request: any
  ) {}

  get protocol (): string | null { return this.request.protocol ?? null }

  mayCreate (): boolean { return true }

  newId (): string { return this.#saving!.sessionId }

  get lifetime (): number | undefined { return this.#saving?.[kLifetime] }

  /** Puts the session on the request, a new one if the value names none. */
  load (value: string, cookie: CookieOptions): Awaitable<void> {
    const id = this.codec.unsign(value)?.id
    return chain(id === undefined ? null : this.service.read(this.service.keyOf(id)), (record) => {
      this.#data = record === null ? null : record.data as string
      this.request.session = this.#object(record === null ? this.#newId() : id!, cookie)
    })
  }

  sign (id: string): string { return this.codec.sign(id) }

  save (session: SessionObject): Awaitable<void> {
    this.#saving = session
    const saved = this.#locked(session, false, work => session[kCopyTo](work.stored.values))
    return chain(saved, () => session[kMarkSaved]())
  }

  async reload (session: SessionObject): Promise<void> {
    const record = await this.service.read(this.service.keyOf(session.sessionId))
    this.#data = record === null ? null : record.data as string
    session[kRefill](this.#parsed())
  }

  async destroy (session: SessionObject): Promise<void> {
    this.request.session = null
    await this.#locked(session, true, work => work.destroy())
    this.#data = null
  }

  async regenerate (session: SessionObject, keep: string[]): Promise<void> {
    const next = new SessionObject(this, this.#newId(), session[kCookieOptions] as CookieOptions, null)
    for (const key of keep) if (key !== 'cookie' && Object.hasOwn(session, key)) next.set(key, session[key])
    await this.destroy(session)
    this.request.session = next
    await this.save(next)
  }

  #newId (): string { return this.settings.idGenerator(this.request) }

  #object (id: string, cookie: CookieOptions): SessionObject {
    return new SessionObject(this, id, cookie, this.#parsed())
  }

  #parsed (): Record<string, any> | null {
    return this.#data === null ? null : JSON.parse(this.#data)
  }

  /** Runs `change` under the lock and saves, if the session is as it was read. `evenIfChanged`: whatever it is, and not if it is gone. */
  #locked (session: SessionObject, evenIfChanged: boolean, change: (work: UnitOfWork) => Awaitable<void>): Awaitable<void> {
    const work = new UnitOfWork(this.service, this.policy, this)
    const begun = this.#data === null ? work.beginNew() : work.begin(session.sessionId)
    return chain(begun, () => attempt(() => {
      if (this.#data !== null) {
        const { record } = work.stored
        if (record === null && evenIfChanged) return
        if (record === null || (record.data !== this.#data && !evenIfChanged)) throw new ConflictError('was changed or deleted meanwhile')
      }
      return change(work)
    }, () => chain(work.commit(true), () => {
      const { record } = work.stored
      this.#data = record === null ? null : record.data as string
    }), (error) => chain(work.commit(false), () => { throw error })))
  }
}
