// A session in a locked section outside of a request: fastify.sessions.with().
import { CommittedError, NotLockedError } from '../errors.js'
import type { SessionContext } from '../session/session-context.js'
import type { WorkOwner } from '../session/stored-session.js'
import { UnitOfWork, type WorkPolicy } from '../session/unit-of-work.js'
import type { CompatCookie } from './cookie-codec.js'
import type { CompatOptions } from './compat-request.js'
import { kCopyTo, kLifetime, kMarkSaved, kRefill, SessionObject, type SessionKeeper } from './session-object.js'

export class SectionSession implements SessionKeeper, WorkOwner {
  readonly method = 'sessions'
  readonly route = 'with()'
  readonly protocol = null
  readonly #work: UnitOfWork
  #session: SessionObject | null = null

  constructor (service: SessionContext, policy: WorkPolicy, private readonly codec: CompatCookie, private readonly settings: CompatOptions) {
    this.#work = new UnitOfWork(service, policy, this)
  }

  get lifetime (): number | undefined { return this.#session?.[kLifetime] }

  mayCreate (): boolean { throw noCookie() }
  newId (): string { throw noCookie() }
  sign (id: string): string { return this.codec.sign(id) }

  /** Locks and loads, runs `fn`, saves, unlocks. If `fn` throws, nothing is saved. */
  async run<T> (id: string, fn: (session: SessionObject) => T | Promise<T>): Promise<T> {
    const { stored } = this.#work
    return await this.#work.only(id, async () => {
      const session = new SessionObject(this, id, this.settings.cookie, JSON.parse(stored.record!.data as string))
      this.#session = session
      const result = await fn(session)
      if (this.#session !== null && (this.settings.rolling || session.isModified())) session[kCopyTo](stored.values)
      return result
    })
  }

  async save (session: SessionObject): Promise<void> {
    this.#assertLocked('it cannot be saved')
    session[kCopyTo](this.#work.stored.values)
    await this.#work.save()
    session[kMarkSaved]()
  }

  async reload (session: SessionObject): Promise<void> {
    this.#assertLocked('it cannot be read again')
    await this.#work.reload()
    session[kRefill](JSON.parse(this.#work.stored.record!.data as string))
  }

  async destroy (): Promise<void> {
    this.#assertLocked('it cannot be destroyed')
    this.#session = null
    await this.#work.destroy()
  }

  async regenerate (): Promise<void> { throw noCookie() }

  /** The session object may outlive its section. */
  #assertLocked (what: string): void {
    if (!this.#work.locked) throw new NotLockedError(what)
  }
}

function noCookie (): Error {
  return new CommittedError('a new id cannot reach the client outside of a request')
}
