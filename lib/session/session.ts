// What a handler sees of its session.
import { inspect } from 'node:util'
import type { SessionKey, SessionObject, SessionValue } from '../../types/session.js'
import { deepFreeze } from './deep-freeze.js'
import type { UnitOfWork } from './unit-of-work.js'

/**
 * The session of one visitor in one request. Works like a Map whose values are saved when the reply is sent.
 *
 * Writes throw `FST_SESSION_NOT_LOCKED` outside the lock, `FST_SESSION_READ_ONLY` on a read-only route,
 * `FST_SESSION_COMMITTED` once the reply is on its way, `FST_SESSION_DESTROYED` after destroy().
 * Objects read without the lock are frozen: changing them could not be saved.
 */
export class Session {
  readonly #work: UnitOfWork

  /** @internal */
  constructor (work: UnitOfWork) {
    this.#work = work
    // `session.name = value` would be lost without a word; now it throws (in strict mode).
    Object.preventExtensions(this)
  }

  /** The id in the cookie: null until the session is first saved. Keep it out of logs and pages. */
  get id (): string | null { return this.#work.stored.id }
  /** Whether this request found no stored session. */
  get isNew (): boolean { return this.#work.stored.isNew }
  /** Whether writes are allowed now. */
  get locked (): boolean { return this.#work.locked }
  /** ms since the epoch; of the creation or the last regeneration. */
  get createdAt (): number { return this.#work.stored.times.createdAt }
  /** ms since the epoch; of the visit before this one, to the precision of touchInterval. */
  get lastAccessedAt (): number { return this.#work.stored.times.lastAccessedAt }
  /** ms since the epoch */
  get expiresAt (): number { return this.#work.stored.times.expiresAt }
  /** Who is logged in; see setUser(). */
  get user (): string | null { return this.#work.stored.user }
  /** How many keys there are. */
  get size (): number { return this.#work.stored.values.size }

  get<K extends SessionKey> (key: K): SessionValue<K> | undefined
  get<K extends SessionKey> (key: K, defaultValue: SessionValue<K>): SessionValue<K>
  get (key: string, defaultValue?: unknown): unknown {
    const value = this.#work.stored.values.get(key)
    if (value === undefined) return defaultValue
    return this.#work.readsAreFrozen ? deepFreeze(value) : value
  }

  has (key: SessionKey): boolean {
    return this.#work.stored.values.has(key)
  }

  /** Stores a value; `undefined` deletes the key. */
  set<K extends SessionKey> (key: K, value: SessionValue<K>): this {
    this.#work.assertWritable('it cannot be written')
    if (value === undefined) this.#work.stored.values.delete(key)
    else this.#work.stored.values.set(key, value)
    return this
  }

  /** Returns whether the key was there. */
  delete (key: SessionKey): boolean {
    this.#work.assertWritable('nothing can be deleted from it')
    return this.#work.stored.values.delete(key)
  }

  /** Takes a value out: returns and deletes it. */
  pop<K extends SessionKey> (key: K): SessionValue<K> | undefined
  pop<K extends SessionKey> (key: K, defaultValue: SessionValue<K>): SessionValue<K>
  pop (key: string, defaultValue?: unknown): unknown {
    this.#work.assertWritable('nothing can be taken out of it')
    const value = this.#work.stored.values.get(key)
    this.#work.stored.values.delete(key)
    return value === undefined ? defaultValue : value
  }

  /** Returns the value, after storing the default if there was none. */
  setDefault<K extends SessionKey> (key: K, defaultValue: SessionValue<K>): SessionValue<K> {
    if (!this.has(key)) this.set(key, defaultValue)
    return this.get(key) as SessionValue<K>
  }

  /** Sets every key of the object. */
  update (values: SessionObject): this {
    for (const key of Object.keys(values)) this.set(key as SessionKey, (values as Record<string, any>)[key])
    return this
  }

  /** Deletes all keys; the session itself stays. */
  clear (): void {
    this.#work.assertWritable('it cannot be cleared')
    this.#work.stored.values.clear()
  }

  keys (): IterableIterator<SessionKey> {
    return this.#work.stored.values.keys()[Symbol.iterator]() as IterableIterator<SessionKey>
  }

  * values (): IterableIterator<SessionValue<SessionKey>> {
    for (const key of this.#work.stored.values.keys()) yield this.get(key as SessionKey)
  }

  * entries (): IterableIterator<[SessionKey, SessionValue<SessionKey>]> {
    for (const key of this.#work.stored.values.keys()) yield [key as SessionKey, this.get(key as SessionKey)]
  }

  [Symbol.iterator] (): IterableIterator<[SessionKey, SessionValue<SessionKey>]> {
    return this.entries()
  }

  /** A copy of all data. Changing it changes nothing. */
  data (): SessionObject {
    return structuredClone(Object.fromEntries(this.entries())) as SessionObject
  }

  /** Saves now and goes on; takes the lock when it is not held. A later error of the request does not undo it. */
  async save (): Promise<void> { await this.#work.save() }
  /** Saves, unlocks and freezes: the rest of the request can only read. For long replies and streams. */
  async commit (): Promise<void> { await this.#work.commit(true) }
  /** Drops unsaved changes and reads the store again. */
  async reload (): Promise<void> { await this.#work.reload() }
  /** Drops unsaved changes. */
  revert (): void { this.#work.stored.revert() }
  /** Extends the session at the end of this request, whatever `rolling` and `touchInterval` say. */
  touch (): void { this.#work.touch() }

  /**
   * A new id for the session; the old one is dead at once. Call it when somebody logs in or gains rights.
   * Without an argument the new session is empty; an array names the keys to keep; `true` keeps everything.
   * Requests that wait for the session follow it after `regenerate(true)`, and else get `FST_SESSION_CONFLICT` (409).
   */
  async regenerate (keep?: true | readonly SessionKey[]): Promise<void> { await this.#work.regenerate(keep) }
  /** Deletes the session now and clears the cookie. */
  async destroy (): Promise<void> { await this.#work.destroy() }
  /** Clears the cookie only; the session stays in the store until it expires. */
  expire (): void { this.#work.expireCookie = true }

  /** Remembers who is logged in, for `fastify.sessions.destroyByUser()`. null: nobody. */
  setUser (user: string | null): void {
    if (user !== null && typeof user !== 'string') throw new TypeError('session.setUser() takes a string or null')
    this.#work.assertWritable('its user cannot be changed')
    this.#work.stored.setUser(user)
  }

  /** Waits for the lock and loads afresh. Does nothing when it is held. Prefer request.withSessionLock(). */
  async acquireLock (): Promise<void> { await this.#work.acquireLock() }
  /** Saves and unlocks. */
  async releaseLock (): Promise<void> { await this.#work.releaseLock() }

  /** The data only: no id gets into a reply by accident. */
  toJSON (): SessionObject {
    return this.data()
  }

  /** No id, no values: no secret gets into a log by accident. */
  [inspect.custom] (): string {
    return `Session { isNew: ${this.isNew}, locked: ${this.locked}, keys: [${[...this.keys()].join(', ')}] }`
  }
}
