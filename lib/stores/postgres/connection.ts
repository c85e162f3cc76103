// Statements with a time limit, on connections of the application's pool.
import { StoreUnavailableError } from '../../errors.js'

export type Row = Record<string, unknown>

export interface PgResult {
  rows: Row[]
  rowCount: number | null
}

/** What the store needs of a connection of `pg`. */
export interface PgClient {
  query (text: string, values?: unknown[]): Promise<PgResult>
  /** With `true` the connection is closed instead of going back to the pool. */
  release (destroy?: boolean): void
  on (event: 'notification', listener: (message: { payload?: string | undefined }) => void): unknown
  on (event: 'error' | 'end', listener: (error?: Error) => void): unknown
}

/** What the store needs of a `pg` Pool. */
export interface PgPool {
  connect (): Promise<PgClient>
  on? (event: 'connect', listener: (client: PgClient) => void): unknown
  /** After `end()`. It waits for the connections that are in use. */
  readonly ending?: boolean
  readonly options?: { readonly max?: number }
}

export class Connection {
  constructor (private readonly pool: PgPool, private readonly timeout: number) {
    if (guarded.has(pool)) return
    guarded.add(pool)
    // A connection may break in the moment in which it is made, before connect() has given it to us.
    pool.on?.('connect', guard)
  }

  /** Nothing more can be asked. */
  get isOver (): boolean { return this.pool.ending === true }

  /** Any failure is a StoreUnavailableError. What took too long is cut off, so that it does not happen later. */
  async query (text: string, values: unknown[] = []): Promise<Row[]> {
    const timer = new Timer(this.timeout)
    try {
      const client = await this.#connect(timer)
      let failed = true
      try {
        const { rows } = await timer.race(client.query(text, values))
        failed = false
        return rows
      } finally {
        client.release(failed)
      }
    } catch (cause) {
      throw new StoreUnavailableError({ cause })
    } finally {
      timer.stop()
    }
  }

  /** A connection of our own until it is released. */
  async take (): Promise<PgClient> {
    const timer = new Timer(this.timeout)
    try {
      return await this.#connect(timer)
    } finally {
      timer.stop()
    }
  }

  async limited<T> (step: Promise<T>): Promise<T> {
    const timer = new Timer(this.timeout)
    try {
      return await timer.race(step)
    } finally {
      timer.stop()
    }
  }

  async #connect (timer: Timer): Promise<PgClient> {
    const connecting = this.pool.connect()
    try {
      const client = await timer.race(connecting)
      guard(client)
      return client
    } catch (error) {
      // It may still come, and has to go back then.
      connecting.then(client => client.release(), () => {})
      throw error
    }
  }
}

/** Pools and connections with our listeners. One is enough, for all stores and for good. */
const guarded = new WeakSet<object>()

/** A connection that breaks in use would end the process if nobody listened. Its query is rejected as well. */
function guard (client: PgClient): void {
  if (guarded.has(client)) return
  guarded.add(client)
  client.on('error', () => {})
}

/** One time limit for several steps. */
class Timer {
  #timer: NodeJS.Timeout | undefined
  readonly #end: Promise<never>

  constructor (ms: number) {
    this.#end = new Promise((_resolve, reject) => {
      this.#timer = setTimeout(() => reject(new Error(`no answer from PostgreSQL in ${ms} ms`)), ms)
    })
    this.#end.catch(() => {})
  }

  async race<T> (step: Promise<T>): Promise<T> {
    return await Promise.race([step, this.#end])
  }

  stop (): void {
    clearTimeout(this.#timer)
  }
}
