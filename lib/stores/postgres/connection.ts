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
  removeListener (event: 'error', listener: () => void): unknown
}

/** What the store needs of a `pg` Pool. */
export interface PgPool {
  connect (): Promise<PgClient>
  readonly options?: { readonly max?: number }
}

export class Connection {
  constructor (private readonly pool: PgPool, private readonly timeout: number) {}

  /** Any failure is a StoreUnavailableError. What took too long is cut off, so that it does not happen later. */
  async query (text: string, values: unknown[] = []): Promise<Row[]> {
    const timer = new Timer(this.timeout)
    try {
      const client = await this.#connect(timer)
      let failed = true
      // Without a listener, a connection that breaks would end the process. The query is rejected as well.
      client.on('error', ignore)
      try {
        const { rows } = await timer.race(client.query(text, values))
        failed = false
        return rows
      } finally {
        if (!failed) client.removeListener('error', ignore)
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
      return await timer.race(connecting)
    } catch (error) {
      // It may still come, and has to go back then.
      connecting.then(client => client.release(), () => {})
      throw error
    }
  }
}

function ignore (): void {}

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
