// Sessions in a table of PostgreSQL 13 or later. The lock and those who wait for it are in the session's row, so that
// no connection is held while a request waits or works.
import { randomBytes } from 'node:crypto'
import type { Awaitable, Busy, Lease, Moved, PruneOptions, PruneResult, SessionRecord, Store, StoreContext, Ticket } from '../../../types/store.js'
import { ConflictError, InvalidOptionError } from '../../errors.js'
import { boolean, checkAll, objectWith, positiveDuration } from '../../options/check.js'
import { type TokenTicket, TokenTickets } from '../token-tickets.js'
import type { RowValues } from './bulk.js'
import { Connection, type PgPool, type Row } from './connection.js'
import { Listener } from './listener.js'
import { sqlName } from './names.js'
import { PostgresLease } from './postgres-lease.js'
import { bytesOf, loadedFrom } from './record.js'
import { RowAccess } from './row-access.js'
import { type Statements, statementsFor } from './statements.js'
import { Table } from './table.js'

export interface PostgresTable {
  /** Default: the first schema of the connection's search_path. */
  schema?: string
  /** Default 'fastify_sessions'. */
  table?: string
}

export interface PostgresStoreOptions extends PostgresTable {
  /** A Pool of `pg`. It stays open when the store is closed. With `listen` it needs at least 2 connections. */
  pool: PgPool
  /**
   * Whether `open()` makes the table, or adds what an older one lacks. false: it only checks it, and throws
   * FST_SESSION_INVALID_OPTION with the SQL to run. Default true.
   */
  createTable?: boolean
  /** After this many ms without a sign of life, the lock of a dead process is free. Renewed at a third. Not longer than `lockTimeout`, or nobody who waits lives to see its end. Default 5000. */
  lease?: number
  /** How long a lock is kept for a waiter that has not yet taken it, in ms. Default 1500. */
  claim?: number
  /** Longest wait for a connection and for the answer, in ms. Then FST_SESSION_STORE_UNAVAILABLE. Default 5000. */
  timeout?: number
  /**
   * Whether those who wait are woken through LISTEN. It takes one connection of the pool for good. false: they ask every
   * 10 to 100 ms; needed behind PgBouncer in transaction mode. Default true.
   */
  listen?: boolean
}

/** Those who wait ask again after this many ms, in case a notification was lost. */
const FALLBACK = 1000
/** Who has not asked for this long is passed over. */
const PATIENCE = 5000
const SLOWEST_POLL = 100
/** To ask after the end of a lease, not just before it. */
const MARGIN = 10
/** Longest time for changing the table, in ms. */
const MIGRATION = 60_000

export class PostgresStore implements Store {
  readonly scope = 'network'
  readonly #connection: Connection
  readonly #sql: Statements
  readonly #table: Table
  readonly #migration: Connection | null
  readonly #channel = `fls_${randomBytes(16).toString('hex')}`
  readonly #listener: Listener | null
  readonly #rows: RowAccess
  readonly #tickets = new TokenTickets<Row>(() => this.#rows.ids.next())
  #context: StoreContext | null = null

  constructor (options: PostgresStoreOptions) {
    checkAll(options, {
      pool: objectWith('connect'),
      schema: sqlName,
      table: sqlName,
      createTable: boolean,
      lease: positiveDuration,
      claim: positiveDuration,
      timeout: positiveDuration,
      listen: boolean
    })
    if (options.pool === undefined) throw new InvalidOptionError('pool', 'is missing')
    if (options.listen !== false && options.pool.options?.max === 1) throw new InvalidOptionError('pool', 'has one connection, and listening takes one; give it more, or listen: false')
    this.#table = new Table(options)
    this.#sql = statementsFor(this.#table.name)
    this.#connection = new Connection(options.pool, options.timeout ?? 5000)
    this.#migration = options.createTable === false ? null : new Connection(options.pool, MIGRATION)
    this.#rows = new RowAccess(this.#connection, this.#sql, options.lease ?? 5000, options.claim ?? 1500, () => this.#now())
    this.#listener = options.listen === false
      ? null
      : new Listener(this.#connection, this.#channel, message => this.#heard(message), error => this.#lost(error))
  }

  /** The SQL that makes the table, or adds what an older one lacks, for those who run migrations of their own. */
  static schema (options: PostgresTable = {}): string {
    checkAll(options, { schema: sqlName, table: sqlName })
    return new Table(options).sql
  }

  async open (context: StoreContext): Promise<void> {
    this.#context = context
    await this.#table.prepare(this.#connection, this.#migration)
    await this.#listener?.start()
    this.#connection.prepares = this.#listener?.isListening === true
    if (this.#listener?.isListening === false) context.log.warn({}, 'session store: notifications do not arrive, as behind a pooler in transaction mode; those who wait poll. Say so with listen: false')
  }

  close (): void {
    this.#listener?.close()
  }

  acquire (ticket: Ticket): Awaitable<Lease | Busy | Moved | null> {
    const entered = this.#tickets.enter(ticket)
    const { key, token, refusals } = entered
    // Half of the claim is left for the way here and for the first heartbeat.
    const granted = this.#tickets.takeGrant(entered, this.#rows.claim / 2)
    if (granted !== null) return this.#lease(ticket, entered, granted, this.#rows.claim / 2, false)
    return this.#rows.take('acquire', this.#acquireValues(ticket, token), refusals === 0, {
      done: (row, alone) => this.#answer(ticket, entered, row, alone),
      failed: (isSent) => {
        this.#tickets.leave(entered)
        if (isSent) this.#rows.leaveSometime(key, token).catch(() => {})
      }
    })
  }

  #answer (ticket: Ticket, entered: TokenTicket<Row>, row: Row | undefined, alone: boolean): Lease | Busy | Moved | null {
    switch (alone ? 'granted' : row?.outcome) {
      case 'granted':
      case 'mine':
        return this.#lease(ticket, entered, row!, Math.min(this.#rows.lease, ticket.maxHold), alone)
      case 'busy':
      case 'next':
        this.#tickets.stay(entered, ticket)
        return this.#busy(entered.refusals, row!)
      case 'moved':
        this.#tickets.leave(entered)
        return { outcome: 'moved', movedTo: row!.moved_to as string | null }
      default:
        this.#tickets.leave(entered)
        return null
    }
  }

  async cancel (ticket: Ticket): Promise<void> {
    const entered = this.#tickets.find(ticket)
    if (entered === undefined) return
    this.#tickets.leave(entered)
    await this.#rows.leave(entered.key, entered.token)
  }

  async read (key: string): Promise<SessionRecord | null> {
    return await this.#rows.read([key, this.#now(), this.#maxSize], {
      done: row => row === null ? null : loadedFrom(row, this.#maxSize).record
    })
  }

  async create (key: string, record: SessionRecord): Promise<void> {
    const { data, user, createdAt, lastAccessedAt, expiresAt } = record
    const values = [key, bytesOf(data), typeof data === 'string', user, createdAt, lastAccessedAt, expiresAt, this.#rows.ids.next()]
    const { rowCount } = await this.#connection.query(this.#sql.create, values)
    if (rowCount !== 1) throw new ConflictError('exists already')
  }

  async * entries (): AsyncGenerator<[string, SessionRecord]> {
    for (let last = ''; ;) {
      const { rows } = await this.#connection.query(this.#sql.list, [last, this.#now(), this.#maxSize])
      for (const row of rows) yield [row.key as string, loadedFrom(row, this.#maxSize).record]
      if (rows.length === 0) return
      last = rows[rows.length - 1]!.key as string
    }
  }

  async count (): Promise<number> {
    const { rows } = await this.#connection.query(this.#sql.count, [this.#now()])
    return Number(rows[0]!.n)
  }

  async prune ({ idleSince = -Infinity }: PruneOptions = {}): Promise<PruneResult> {
    const expired = await this.#delete(this.#sql.prune, this.#now())
    const idle = idleSince === -Infinity ? 0 : await this.#delete(this.#sql.pruneIdle, idleSince)
    return { deleted: expired + idle, remaining: await this.count() }
  }

  /** A part at a time, until nothing is left. */
  async #delete (statement: string, before: number): Promise<number> {
    for (let deleted = 0; ;) {
      const { rows: [gone] } = await this.#connection.query(statement, [before])
      deleted += Number(gone!.n)
      if (Number(gone!.rows) === 0) return deleted
    }
  }

  #acquireValues (ticket: Ticket, token: string): RowValues {
    const patience = Math.max(1, Math.min(PATIENCE, ticket.deadline - performance.now()))
    const channel = this.#listener?.isListening === true ? this.#channel : null
    return [ticket.key, token, Math.min(this.#rows.lease, ticket.maxHold), this.#now(), this.#maxSize, channel, patience, this.#rows.claim]
  }

  #lease (ticket: Ticket, entered: TokenTicket<Row>, row: Row, granted: number, alone: boolean): Lease {
    this.#tickets.leave(entered)
    const { key, token } = entered
    try {
      return new PostgresLease(this.#rows, ticket, key, token, loadedFrom(row, this.#maxSize), granted, alone)
    } catch (error) {
      this.#rows.leave(key, token).catch(() => {})
      throw error
    }
  }

  #busy (refusals: number, row: Row): Busy {
    const holder = row.holder as { method: string, route: string, since: number } | null
    const poll = this.#listener?.isListening === true ? FALLBACK : Math.min(SLOWEST_POLL, 5 * 2 ** Math.min(refusals, 10))
    return {
      outcome: 'busy',
      // Not before the lock of a dead process is over, but right then.
      retryAfter: Math.min(poll, Math.max(0, row.left_ms as number) + MARGIN),
      holder: () => holder === null ? null : { method: holder.method, route: holder.route, heldFor: Math.max(0, Math.round(Date.now() - holder.since)) }
    }
  }

  #heard (message: Row): void {
    this.#tickets.hear(message.t as string, () => message.head === undefined ? null : message)
  }

  /** What was said meanwhile was not heard. */
  #lost (error: unknown): void {
    if (error !== null) this.#context?.log.warn({ err: error }, 'session store: the listening connection was lost; those who wait poll until there is another')
    this.#tickets.wakeAll()
  }

  get #maxSize (): number { return this.#context?.maxRecordSize ?? 1024 * 1024 }

  #now (): number { return this.#context?.now() ?? Date.now() }
}
