// Statements with a time limit, on connections of the application's pool.
import { createHash } from 'node:crypto'
import { StoreUnavailableError } from '../../errors.js'
import { TimeLimit } from '../../time-limit.js'

export type Row = Record<string, unknown>

export interface PgResult {
  rows: Row[]
  rowCount: number | null
}

/** What the store needs of a connection of `pg`. */
export interface PgClient {
  query (statement: string | { name: string, text: string, values: unknown[] }, values?: unknown[]): Promise<PgResult>
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
  /**
   * Whether the server keeps the statements that it has planned; planning costs it more than all else. Not behind a
   * pooler in transaction mode, which gives each statement to another server connection.
   */
  prepares = false
  readonly #names = new Map<string, string>()
  readonly #limit: TimeLimit

  constructor (private readonly pool: PgPool, timeout: number) {
    this.#limit = new TimeLimit(timeout, (cause) => new StoreUnavailableError({ cause }))
    if (guarded.has(pool)) return
    guarded.add(pool)
    // A connection may break in the moment in which it is made, before connect() has given it to us.
    pool.on?.('connect', guard)
  }

  /** Nothing more can be asked. */
  get isOver (): boolean { return this.pool.ending === true }

  /** Any failure is a StoreUnavailableError. What took too long is cut off, so that it does not happen later. */
  query (text: string, values: unknown[] = []): Promise<Row[]> {
    const use = new Use()
    const answer = this.pool.connect().then((client) => {
      use.begin(client)
      return this.#send(client, text, values)
    })
    return this.#limit.race(answer, {
      done: ({ rows }) => {
        use.end(false)
        return rows
      },
      failed: () => use.end(true)
    })
  }

  /** A connection of our own until it is released. */
  async take (): Promise<PgClient> {
    const client = await this.#limit.race(this.pool.connect(), { late: late => late.release() })
    guard(client)
    return client
  }

  limited<T> (step: Promise<T>): Promise<T> {
    return this.#limit.race(step)
  }

  #send (client: PgClient, text: string, values: unknown[]): Promise<PgResult> {
    // Only what is asked again and again has values.
    return this.prepares && values.length > 0 ? client.query({ name: this.#nameOf(text), text, values }) : client.query(text, values)
  }

  /** Stores of other tables may be on the same connection. */
  #nameOf (text: string): string {
    let name = this.#names.get(text)
    if (name === undefined) {
      name = `fls_${createHash('sha1').update(text).digest('hex')}`
      this.#names.set(text, name)
    }
    return name
  }
}

/** The use of a connection for one statement. */
class Use {
  #client: PgClient | null = null
  #over = false

  begin (client: PgClient): void {
    guard(client)
    if (this.#over) {
      // It has to go back, even if nobody wants it any more.
      client.release()
      throw new Error('The connection came too late')
    }
    this.#client = client
  }

  /** `failed`: who knows what still goes on there. */
  end (failed: boolean): void {
    const client = this.#client
    this.#over = true
    this.#client = null
    client?.release(failed)
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
