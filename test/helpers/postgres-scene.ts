// What the tests of the PostgreSQL store share: pools, stores, and somebody who waits for a lock.
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { Test } from 'tap'
import type { ConformanceOptions } from '../../lib/conformance/index.js'
import type { Lease, SessionRecord, Store, StoreContext, Ticket } from '../../lib/index.js'
import { type PgClient, type PgPool, PostgresStore, type PostgresStoreOptions } from '../../lib/stores/postgres/index.js'

let tables = 0

/** A pool whose statements can be seen. */
export class WatchedPool implements PgPool {
  readonly statements: string[] = []
  /** Runs before each statement, which waits for it. */
  before: (text: string, values: unknown[]) => unknown = () => {}
  /** Each statement is sent twice, and the second answer counts. */
  twice = false

  readonly #clients = new WeakMap<pg.PoolClient, PgClient>()

  constructor (readonly pool: pg.Pool) {}

  on (event: 'connect', listener: (client: PgClient) => void): void {
    this.pool.on(event, client => listener(this.#watched(client)))
  }

  async connect (): Promise<PgClient> { return this.#watched(await this.pool.connect()) }

  #watched (client: pg.PoolClient): PgClient {
    const watched: PgClient = this.#clients.get(client) ?? {
      query: async (statement, values) => {
        const text = typeof statement === 'string' ? statement : statement.text
        this.statements.push(text)
        await this.before(text, values)
        if (this.twice) await client.query(statement as string, values)
        return await client.query(statement as string, values)
      },
      release: destroy => client.release(destroy),
      on: (event: string, listener: (...args: any[]) => void) => client.on(event as 'error', listener)
    }
    this.#clients.set(client, watched)
    return watched
  }
}

export class Waiting implements Ticket {
  readonly deadline = Infinity
  readonly method = 'GET'
  readonly route = '/'
  wake = () => {}
  constructor (readonly key: string, readonly maxHold = 60_000) {}
}

export function newKey (): string { return randomBytes(32).toString('hex') }

export function record (values: Partial<SessionRecord> = {}): SessionRecord {
  const now = Date.now()
  return { data: '{"n":0}', user: null, createdAt: now, lastAccessedAt: now, expiresAt: now + 3_600_000, ...values }
}

export const context: StoreContext = { now: Date.now, maxRecordSize: 1024 * 1024, log: { debug () {}, warn () {}, error () {} } }

export async function waitFor (store: Store, ticket: Ticket & { wake: () => void }): Promise<Lease> {
  for (;;) {
    const woken = new Promise<void>((resolve) => { ticket.wake = resolve })
    const answer = await store.acquire(ticket)
    if (answer?.outcome === 'granted') return answer
    if (answer?.outcome !== 'busy') throw new Error('there is no such session')
    await Promise.race([woken, sleep(answer.retryAfter, undefined, { ref: false })])
  }
}

export function newPool (t: Test, { port }: { port: number }, max = 10, user = 'postgres'): pg.Pool {
  const pool = new pg.Pool({ host: '127.0.0.1', port, user, database: 'postgres', max })
  pool.on('error', () => {})
  t.teardown(async () => { if (!pool.ended) await pool.end() })
  return pool
}

export async function opened (t: Test, options: PostgresStoreOptions): Promise<PostgresStore> {
  const store = new PostgresStore(options)
  t.teardown(() => store.close())
  await store.open(context)
  return store
}

/** Each case has a table of its own; stores on the same table share one pool, which all cases do. */
export function conformanceOptions (t: Test, server: { port: number }, listen = true): ConformanceOptions {
  const pool = newPool(t, server, 20)
  const names = new WeakMap<Store, string>()
  const open = (table: string) => {
    const store = new PostgresStore({ pool, table, listen })
    names.set(store, table)
    return store
  }
  return {
    createStore: () => open(`sessions_${tables++}`),
    secondConnection: store => open(names.get(store)!)
  }
}
