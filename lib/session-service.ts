// What all requests of one registered plugin share: its options, its store, the locks on it, and its counters.
import type { FastifyBaseLogger } from 'fastify'
import type { Store } from '../types/store.js'
import type { Awaitable } from './awaitable.js'
import { LockQueue } from './lock/lock-queue.js'
import type { ResolvedOptions } from './options/plugin-options.js'
import { SessionContext } from './session/session-context.js'

/** One store and its queue, shared by all plugins of this process that were given that store. */
interface SharedStore {
  locks: LockQueue
  users: number
  opened: Awaitable<void>
}

const shared = new WeakMap<Store, SharedStore>()

export class SessionService extends SessionContext {
  /** How many async handlers run that may still write. The server does not wait for those whose client has left. */
  running = 0
  readonly #shared: SharedStore

  private constructor (options: ResolvedOptions, log: FastifyBaseLogger, use: SharedStore) {
    super(options, log, options.store, use.locks, { creates: 0, saves: 0, touches: 0, regenerations: 0, destroys: 0 })
    this.#shared = use
  }

  /** Opens the store, unless another plugin of this process has opened it already. */
  static async open (options: ResolvedOptions, log: FastifyBaseLogger): Promise<SessionService> {
    const { store, now, maxRecordSize } = options
    let use = shared.get(store)
    if (use === undefined) {
      use = { locks: newQueue(store, log), users: 0, opened: store.open?.({ now, maxRecordSize, log }) }
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

  /** The same plugin on a store of its own: that of one request, when sessions travel in the cookie. */
  on (store: Store): SessionContext {
    return new SessionContext(this.options, this.log, store, newQueue(store, this.log), this.stats)
  }
}

function newQueue (store: Store, log: FastifyBaseLogger): LockQueue {
  return new LockQueue(store, ({ method, route, heldFor }) => {
    log.warn({ method, route, heldFor }, 'A session lock was held longer than maxHold; others may take it over')
  })
}
