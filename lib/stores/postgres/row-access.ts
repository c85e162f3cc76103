// Statements about single sessions, in order where it matters.
import type { Reaction } from '../../time-limit.js'
import type { Connection, Row } from './connection.js'
import type { Statements, Step } from './statements.js'

/** `done`: what is made of the rows. */
interface Answered<R> extends Reaction<Row[], R> { done: (rows: Row[]) => R | Promise<R> }

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
  ask<R = Row[]> (statement: 'destroy' | 'extend' | 'describe' | 'read', key: string, values: unknown[], reaction?: Reaction<Row[], R>): Promise<R> {
    return this.#inTurn(key, () => this.connection.query(this.sql[statement], [key, ...values], reaction))
  }

  /** `alone`: probably nobody else wants the session. If somebody does, it takes one statement more. */
  take<R> (step: 'acquire' | 'save' | 'touch', key: string, values: unknown[], alone: boolean, reaction: Answered<R>): Promise<R> {
    return this.#inTurn(key, () => this.#take(this.sql[step], [key, ...values], alone, reaction))
  }

  /** Gives back the lock, or the place in the queue. */
  async leave (key: string, token: string, alone = false): Promise<void> {
    const leaving = this.leaveSometime(key, token, alone)
    const settled = Promise.allSettled([this.#leaving.get(key), leaving]).then(() => {
      if (this.#leaving.get(key) === settled) this.#leaving.delete(key)
    })
    this.#leaving.set(key, settled)
    await leaving
  }

  /** The same, and nobody has to wait for it. */
  async leaveSometime (key: string, token: string, alone = false): Promise<void> {
    await this.#take(this.sql.leave, [key, token, this.claim], alone, { done: () => {} })
  }

  #inTurn<T> (key: string, ask: () => Promise<T>): Promise<T> {
    return this.#leaving.get(key)?.then(ask) ?? ask()
  }

  #take<R> (step: Step, values: unknown[], alone: boolean, { done, failed }: Answered<R>): Promise<R> {
    const shared = () => this.connection.query(step.shared, values, { done, failed })
    if (!alone) return shared()
    return this.connection.query(step.alone, values.slice(0, step.aloneTakes), { done: rows => rows.length > 0 ? done(rows) : shared(), failed })
  }
}
