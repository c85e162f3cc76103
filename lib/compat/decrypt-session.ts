// fastify.decryptSession(): a session for code that has only the cookie's value, such as a websocket.
import { type Awaitable, chain } from '../awaitable.js'
import { ConflictError } from '../errors.js'
import type { WorkPolicy } from '../session/unit-of-work.js'
import { UnitOfWork } from '../session/unit-of-work.js'
import type { WorkOwner } from '../session/stored-session.js'
import type { SessionService } from '../session-service.js'
import type { CompatCookie } from './cookie-codec.js'
import type { CookieOptions } from './cookie.js'
import type { CompatOptions } from './compat-request.js'
import { SessionObject, type SessionKeeper } from './session-object.js'

/** Nothing stays locked here, because nobody says when it ends. A save is refused if somebody else has saved since. */
export class DetachedSession implements SessionKeeper, WorkOwner {
  readonly method = 'decryptSession'
  readonly route = '()'
  #data: string | null = null
  #pending: SessionObject | null = null

  constructor (
    private readonly service: SessionService,
    private readonly codec: CompatCookie,
    private readonly settings: CompatOptions,
    private readonly policy: WorkPolicy,
    private readonly request: any
  ) {}

  get protocol (): string | null { return this.request.protocol ?? null }

  mayCreate (): boolean { return true }

  newId (): string { return this.#pending!.sessionId }

  /** Puts the session on the request, a new one if the value names none. */
  load (value: string, cookie: CookieOptions): Awaitable<void> {
    const id = this.codec.unsign(value)?.id
    return chain(id === undefined ? null : this.service.read(this.service.keyOf(id)), (record) => {
      this.#data = record === null ? null : record.data as string
      this.request.session = this.#object(record === null ? this.#newId() : id!, cookie)
    })
  }

  sign (id: string): string { return this.codec.sign(id) }

  async save (session: SessionObject): Promise<void> {
    await this.#locked(session, (work) => {
      const { values } = work.stored
      const data = session.toStored()
      for (const key of values.keys()) if (!Object.hasOwn(data, key)) values.delete(key)
      for (const key of Object.keys(data)) values.set(key, data[key])
      this.#pending = session
      return work.save()
    })
    session.markSaved()
  }

  async reload (session: SessionObject): Promise<void> {
    const record = await this.service.read(this.service.keyOf(session.sessionId))
    this.#data = record === null ? null : record.data as string
    session.refill(this.#parsed())
  }

  async destroy (session: SessionObject): Promise<void> {
    this.request.session = null
    await this.#locked(session, work => work.destroy(), true)
    this.#data = null
  }

  async regenerate (session: SessionObject, keep: string[]): Promise<void> {
    const next = new SessionObject(this, this.#newId(), session.cookieOptions as CookieOptions, null)
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

  /** Runs `change` under the lock, if the session is as it was read. */
  async #locked (session: SessionObject, change: (work: UnitOfWork) => Promise<void>, evenIfChanged = false): Promise<void> {
    const work = new UnitOfWork(this.service, this.policy, this)
    try {
      if (this.#data === null) {
        work.beginNew()
      } else {
        await work.begin(session.sessionId)
        const { record } = work.stored
        if (record === null && evenIfChanged) return
        if (record === null || (record.data !== this.#data && !evenIfChanged)) throw new ConflictError('was changed or deleted meanwhile')
      }
      await change(work)
      const { record } = work.stored
      this.#data = record === null ? null : record.data as string
    } finally {
      await work.commit(false)
    }
  }
}
