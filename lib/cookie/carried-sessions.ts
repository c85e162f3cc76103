// When sessions travel in the cookie, each request has a store of its own: it holds what its cookie brought and
// what the handler makes of it. So all the rest of the plugin works as on any other store.
import type { Lease, PruneResult, SessionRecord, SessionTimes, Store, Ticket } from '../../types/store.js'
import { LockLostError } from '../errors.js'
import type { CookieId } from './cookie-id.js'

export class CarriedSessions implements Store {
  readonly scope = 'none'
  readonly #records = new Map<string, SessionRecord>()
  readonly #sealed = new Map<string, string>()

  /**
   * `mayWrite`: whether a cookie can still reach the client; it throws when the caller must know that it cannot.
   * `seal` makes the Set-Cookie value; it throws when the session does not fit.
   */
  constructor (private readonly mayWrite: () => boolean, private readonly seal: (id: string, record: SessionRecord) => string) {}

  /** Takes what the request brought. */
  bring (cookies: CookieId | CookieId[]): void {
    for (const { id, record } of [cookies].flat()) if (record !== undefined) this.#records.set(id, record)
  }

  /** Whether the client has not got it yet as it stands. */
  isWritten (id: string): boolean {
    return this.#sealed.has(id)
  }

  /** The Set-Cookie value for a session as it stands. */
  cookieOf (id: string): string {
    return this.#sealed.get(id) ?? this.seal(id, this.#records.get(id)!)
  }

  // Nobody else can hold it: the queue of a request lets its sections in one after the other.
  acquire ({ key }: Ticket): Lease | null {
    const record = this.#records.get(key)
    return record === undefined ? null : new CarriedLease(this, key, record)
  }

  read (key: string): SessionRecord | null {
    return this.#records.get(key) ?? null
  }

  create (key: string, record: SessionRecord): void {
    this.#write(key, record)
  }

  /** Nothing is written that the client could not get. */
  update (key: string, record: SessionRecord): void {
    if (!this.#records.has(key)) throw new LockLostError()
    if (this.mayWrite()) this.#write(key, record)
  }

  delete (key: string): void {
    this.#records.delete(key)
  }

  #write (key: string, record: SessionRecord): void {
    this.#sealed.set(key, this.seal(key, record))
    this.#records.set(key, record)
  }

  async * entries (): AsyncGenerator<[string, SessionRecord]> { yield * this.#records }
  count (): number { return this.#records.size }
  prune (): PruneResult { return { deleted: 0, remaining: this.#records.size } }
}

class CarriedLease implements Lease {
  readonly outcome = 'granted'

  constructor (private readonly sessions: CarriedSessions, private readonly key: string, public record: SessionRecord) {}

  save (record: SessionRecord): void {
    this.sessions.update(this.key, record)
    this.record = record
  }

  touch (times: SessionTimes): void {
    this.save({ ...this.record, ...times })
  }

  destroy (): void {
    this.sessions.delete(this.key)
  }

  release (): void {}
  lapse (): void {}
}
