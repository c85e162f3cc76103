// A store of express-session, with promises. Whatever it does with the callback, the promise settles once, and in time.
import { isPromise } from '../../awaitable.js'

type Callback<T> = (error?: unknown, value?: T) => void

/** What every store for express-session and @fastify/session has. */
export interface ExpressSessionStore {
  get (sid: string, callback: (error?: unknown, session?: unknown) => void): unknown
  set (sid: string, session: object, callback?: (error?: unknown) => void): unknown
  destroy (sid: string, callback?: (error?: unknown) => void): unknown
  /** All sessions, by id or as an array of sessions with an `id`. */
  all? (callback: (error?: unknown, sessions?: object | null) => void): unknown
  /** All ids; cheaper than `all`. connect-redis has it. */
  ids? (callback: (error?: unknown, ids?: string[]) => void): unknown
  length? (callback: (error?: unknown, length?: number) => void): unknown
}

/** In place of a session that the store has, but cannot parse. */
export const UNPARSABLE = Symbol('unparsable')

export class CallbackStore {
  readonly #store: ExpressSessionStore
  readonly #timeout: number

  constructor (store: ExpressSessionStore, timeout: number) {
    this.#store = store
    this.#timeout = timeout
  }

  /** null: there is none. */
  async get (key: string): Promise<unknown> {
    try {
      return await this.#call<unknown>(done => this.#store.get(key, done)) ?? null
    } catch (error) {
      // express-session takes it for "no such session", too; session-file-store says so.
      if ((error as { code?: unknown } | null)?.code === 'ENOENT') return null
      if (error instanceof SyntaxError) return UNPARSABLE
      throw error
    }
  }

  async set (key: string, session: object): Promise<void> {
    await this.#call(done => this.#store.set(key, session, done))
  }

  async destroy (key: string): Promise<void> {
    await this.#call(done => this.#store.destroy(key, done))
  }

  get canList (): boolean {
    return typeof this.#store.ids === 'function' || typeof this.#store.all === 'function'
  }

  async keys (): Promise<string[]> {
    if (typeof this.#store.ids === 'function') return await this.#call<string[]>(done => this.#store.ids!(done)) ?? []
    const all = await this.#call<object | null>(done => this.#store.all!(done)) ?? {}
    return Array.isArray(all) ? all.map(({ id }) => String(id)) : Object.keys(all)
  }

  get canCount (): boolean {
    return typeof this.#store.length === 'function'
  }

  /** How many the store says it has; 0 when it does not say. */
  async length (): Promise<number> {
    if (typeof this.#store.length !== 'function') return 0
    return await this.#call<number>(done => this.#store.length!(done)) ?? 0
  }

  /** A promise settles once, so a callback that is called twice does no harm. */
  async #call<T> (action: (done: Callback<T>) => unknown): Promise<T | undefined> {
    let timer
    try {
      return await new Promise<T | undefined>((resolve, reject) => {
        timer = setTimeout(() => reject(new Error(`The express store has not answered within ${this.#timeout} ms`)), this.#timeout)
        const result = action((error, value) => {
          if (error === undefined || error === null) resolve(value)
          else reject(error)
        })
        // Some stores are async functions. One that rejects will not call back any more.
        if (isPromise(result)) result.catch(reject)
      })
    } finally {
      clearTimeout(timer)
    }
  }
}
