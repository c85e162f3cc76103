// What all requests of one registered plugin share: its options, its store, the locks on it, and its counters.
import type { FastifyBaseLogger } from 'fastify'
import type { SessionRecord, Store } from '../types/store.js'
import { attempt, type Awaitable } from './awaitable.js'
import { storeError } from './errors.js'
import { LockQueue } from './lock/lock-queue.js'
import type { ResolvedOptions } from './options/plugin-options.js'
import { assertUsable, keyOf } from './session/id.js'

export interface SessionStats {
  creates: number
  saves: number
  touches: number
  regenerations: number
  destroys: number
}

/** One store and its queue, shared by all plugins of this process that were given that store. */
interface SharedStore {
  locks: LockQueue
  users: number
  opened: Awaitable<void>
}

const shared = new WeakMap<Store, SharedStore>()

export class SessionService {
  readonly store: Store
  readonly locks: LockQueue
  readonly stats: SessionStats = { creates: 0, saves: 0, touches: 0, regenerations: 0, destroys: 0 }
  /** How many async handlers run that may still write. The server does not wait for those whose client has left. */
  running = 0
  readonly #shared: SharedStore

  private constructor (readonly options: ResolvedOptions, readonly log: FastifyBaseLogger, use: SharedStore) {
    this.store = options.store
    this.locks = use.locks
    this.#shared = use
  }

  /** Opens the store, unless another plugin of this process has opened it already. */
  static async open (options: ResolvedOptions, log: FastifyBaseLogger): Promise<SessionService> {
    const { store, now, maxRecordSize } = options
    let use = shared.get(store)
    if (use === undefined) {
      const locks = new LockQueue(store, (hold) => {
        log.warn({ method: hold.method, route: hold.route, heldFor: hold.heldFor }, 'A session lock was held longer than maxHold; others may take it over')
      })
      use = { locks, users: 0, opened: store.open?.({ now, maxRecordSize, log }) }
      shared.set(store, use)
    }
    use.users++
    try {
      await use.opened
    } catch (error) {
      shared.delete(store)
      throw error
    }
    return new SessionService(options, log, use)
  }

  /** Closes the store when nobody may write any more, or `deadline` ms have passed; and only after its last user. */
  async close (deadline: number): Promise<void> {
    const end = performance.now() + deadline
    while (this.#isBusy && performance.now() < end) await new Promise(resolve => setTimeout(resolve, 10))
    if (--this.#shared.users > 0) return
    shared.delete(this.store)
    await this.store.close?.()
  }

  get #isBusy (): boolean {
    const { held, waiting } = this.locks.stats()
    return held > 0 || waiting > 0 || this.running > 0
  }

  /** A snapshot of a session, without its lock. */
  read (key: string): Awaitable<SessionRecord | null> {
    return attempt(() => this.store.read(key), (record) => record, (error) => { throw storeError(error) })
  }

  /** What the store knows the session of an id by. */
  keyOf (id: string): string {
    return this.options.hashIds ? keyOf(id) : id
  }

  newId (): string {
    const id = this.options.generateId()
    assertUsable(id)
    return id
  }
}
