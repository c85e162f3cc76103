// Statements about single sessions, in order where it matters.
import type { Connection, Row } from './connection.js'
import type { Statements } from './statements.js'

export class RowAccess {
  /** Locks that are being given back although nobody waits for that. */
  readonly #leaving = new Map<string, Promise<unknown>>()

  constructor (
    private readonly connection: Connection,
    private readonly sql: Statements,
    readonly lease: number,
    readonly claim: number,
    readonly now: () => number
  ) {}

  /** Two connections of a pool keep no order, so whatever concerns the key comes after what was begun and not awaited. */
  async ask (statement: 'acquire' | 'save' | 'touch' | 'destroy' | 'extend' | 'describe' | 'read', key: string, values: unknown[]): Promise<Row[]> {
    const leaving = this.#leaving.get(key)
    if (leaving !== undefined) await leaving
    return await this.connection.query(this.sql[statement], [key, ...values])
  }

  /** Gives back the lock, or the place in the queue. */
  async leave (key: string, token: string): Promise<void> {
    const leaving = this.leaveSometime(key, token)
    const settled = Promise.allSettled([this.#leaving.get(key), leaving]).then(() => {
      if (this.#leaving.get(key) === settled) this.#leaving.delete(key)
    })
    this.#leaving.set(key, settled)
    await leaving
  }

  /** The same, and nobody has to wait for it. */
  async leaveSometime (key: string, token: string): Promise<void> {
    await this.connection.query(this.sql.leave, [key, token, this.claim])
  }
}
