// Statements with a time limit, on connections of the application's pool.
import { createHash } from 'node:crypto'
import { isPromise } from '../../awaitable.js'
import { StoreUnavailableError } from '../../errors.js'
import { type Reaction, TimeLimit } from '../../time-limit.js'

export type Row = Record<string, unknown>

export interface PgResult {
  rows: Row[]
  rowCount: number | null
}

/** A statement that the server keeps, planned. */
interface Prepared {
  readonly name: string
  readonly text: string
}

/** With it `pg` makes two promises less for each call. What ignores it answers with a promise. */
export type PgCallback<T> = (error: unknown, value?: T) => void

/** What the store needs of a connection of `pg`. */
export interface PgClient {
  query (statement: string | Prepared, values: unknown[], callback: PgCallback<PgResult>): unknown
  /** With `true` the connection is closed instead of going back to the pool. */
  release (destroy?: boolean): void
  on (event: 'notification', listener: (message: { payload?: string | undefined }) => void): unknown
  on (event: 'error' | 'end', listener: (error?: Error) => void): unknown
}

/** What the store needs of a `pg` Pool. */
export interface PgPool {
  connect (callback: PgCallback<PgClient>): unknown
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
  readonly #prepared = new Map<string, Prepared>()
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
  query<R = PgResult> (text: string, values: unknown[] = [], { done, failed }: Reaction<PgResult, R> = {}): Promise<R> {
    const use = new Use()
    return this.#limit.run<PgResult, R>((answered, refused) => {
      listen<PgClient>(callback => this.pool.connect(callback), (client) => {
        if (use.begin(client)) listen(callback => client.query(this.#statement(text, values), values, callback), answered, refused)
      }, refused)
    }, {
      done: (result) => {
        use.end(false)
        return done === undefined ? result as R : done(result)
      },
      failed: () => {
        use.end(true)
        failed?.()
      }
    })
  }

  /** A connection of our own until it is released. */
  take (): Promise<PgClient> {
    return this.#limit.run<PgClient>((answered, refused) => listen(callback => this.pool.connect(callback), answered, refused), {
      done: (client) => {
        guard(client)
        return client
      },
      late: late => late.release()
    })
  }

  /** On a connection that was taken. */
  send (client: PgClient, text: string): Promise<PgResult> {
    return this.#limit.run((answered, refused) => listen(callback => client.query(text, [], callback), answered, refused))
  }

  /** Only what is asked again and again has values. */
  #statement (text: string, values: unknown[]): string | Prepared {
    if (!this.prepares || values.length === 0) return text
    let prepared = this.#prepared.get(text)
    if (prepared === undefined) {
      // Stores of other tables may be on the same connection.
      prepared = { name: `fls_${createHash('sha1').update(text).digest('hex')}`, text }
      this.#prepared.set(text, prepared)
    }
    // pg copies a statement before it uses it, which takes long for each property that is not inherited.
    return Object.create(prepared) as Prepared
  }
}

/** Calls something that tells its end to a callback, or by a promise. What says nothing in a callback may do so by its promise. */
function listen<T> (call: (callback: PgCallback<T>) => unknown, answered: (value: T) => void, refused: (error: unknown) => void): void {
  const callback = (error: unknown, value?: T) => {
    if (error !== null && error !== undefined) refused(error)
    else if (value !== undefined) answered(value)
  }
  try {
    const answer = call(callback)
    if (isPromise(answer)) answer.then((value) => callback(null, value as T), refused)
  } catch (error) {
    refused(error)
  }
}

/** The use of a connection for one statement. */
class Use {
  #client: PgClient | null = null
  #over = false

  /** Returns whether anybody still wants it. */
  begin (client: PgClient): boolean {
    guard(client)
    if (this.#over) client.release()
    else this.#client = client
    return !this.#over
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
