// Statements with a time limit, on connections of the application's pool.
import { createHash } from 'node:crypto'
import { isPromise } from '../../awaitable.js'
import { storeError } from '../../errors.js'
import { type Callback, type Reaction, refusing, TimeLimit } from '../../time-limit.js'

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

/** What the store needs of a connection of `pg`, which makes two promises less when it gets a callback. One that takes no callbacks may answer with a promise. */
export interface PgClient {
  query (statement: string | Prepared, values: unknown[], callback: Callback<PgResult>): unknown
  /** With `true` the connection is closed instead of going back to the pool. */
  release (destroy?: boolean): void
  on (event: 'notification', listener: (message: { payload?: string | undefined }) => void): unknown
  on (event: 'error' | 'end', listener: (error?: Error) => void): unknown
}

/** What the store needs of a `pg` Pool. */
export interface PgPool {
  connect (callback: Callback<PgClient>): unknown
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
  /** Any failure is a StoreUnavailableError. */
  readonly limit: TimeLimit

  constructor (private readonly pool: PgPool, timeout: number) {
    this.limit = new TimeLimit(timeout, storeError)
    if (guarded.has(pool)) return
    guarded.add(pool)
    // A connection may break in the moment in which it is made, before connect() has given it to us.
    pool.on?.('connect', guard)
  }

  /** Nothing more can be asked. */
  get isOver (): boolean { return this.pool.ending === true }

  /** What took too long is cut off, so that it does not happen later. */
  query<R = PgResult> (text: string, values: unknown[] = [], reaction: Reaction<PgResult, R> = {}): Promise<R> {
    const use = new Use(reaction)
    return this.limit.run<PgResult, R>((end) => {
      this.#connect((error, client) => {
        if (client === undefined) end(error)
        else if (use.begin(client)) this.#send(client, this.#statement(text, values), values, end)
      })
    }, use)
  }

  /** A connection of our own until it is released. */
  take (): Promise<PgClient> {
    return this.limit.run<PgClient>(end => this.#connect(end), { late: giveBack })
  }

  /** On a connection that was taken. */
  send (client: PgClient, text: string): Promise<PgResult> {
    return this.limit.run<PgResult>(end => this.#send(client, text, [], end), {})
  }

  #connect (end: Callback<PgClient>): void {
    let called = false
    const connected: Callback<PgClient> = (error, client) => {
      if (called) return
      called = true
      if (client === undefined) return end(error ?? new Error('The pool gave no connection'))
      guard(client)
      end(null, client)
    }
    try {
      orPromise(this.pool.connect(connected), connected)
    } catch (error) {
      end(error)
    }
  }

  #send (client: PgClient, statement: string | Prepared, values: unknown[], end: Callback<PgResult>): void {
    try {
      orPromise(client.query(statement, values, end), end)
    } catch (error) {
      end(error)
    }
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

/** For what answers with a promise in place of the callback. */
function orPromise<T> (answer: unknown, end: Callback<T>): void {
  if (!isPromise(answer)) return
  answer.then((value) => { if (value !== undefined) end(null, value as T) }, refusing(end))
}

/** A connection that nobody wants any more. Not at once: the pool would pass it on to the next one inside of this call, and so on, for all who gave up. */
function giveBack (client: PgClient): void {
  queueMicrotask(() => client.release())
}

/** The use of a connection for one statement. */
class Use<R> implements Reaction<PgResult, R> {
  #client: PgClient | null = null
  #over = false

  constructor (private readonly reaction: Reaction<PgResult, R>) {}

  /** Returns whether anybody still wants it. */
  begin (client: PgClient): boolean {
    if (this.#over) giveBack(client)
    else this.#client = client
    return !this.#over
  }

  done (result: PgResult): R | Promise<R> {
    this.#end(false)
    return this.reaction.done === undefined ? result as R : this.reaction.done(result)
  }

  failed (): void {
    this.#end(true)
    this.reaction.failed?.()
  }

  /** `failed`: who knows what still goes on there. */
  #end (failed: boolean): void {
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
