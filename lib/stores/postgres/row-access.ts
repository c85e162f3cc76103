// Statements about single sessions, in order where it matters.
import { type AnswerReaction, Batcher } from '../batcher.js'
import type { Bulk, RowValues } from './bulk.js'
import type { Connection, Row } from './connection.js'
import { RowSender } from './row-sender.js'
import type { Statements } from './statements.js'
import { UuidSequence } from './uuid-sequence.js'

/** What to do about the answer to a step: whether the statement for those who are alone was enough, and the row, if there is one. */
export interface StepReaction<R> {
  done (row: Row | undefined, alone: boolean): R
  /** `isSent`: it may have been done all the same. */
  failed? (isSent: boolean): void
}

export class RowAccess {
  /** Of locks, and of what was written. */
  readonly ids = new UuidSequence()
  readonly #batchers: Record<'acquire' | 'save' | 'touch' | 'leave' | 'read', Batcher<RowValues, Row | null>>
  /** Locks that are being given back although nobody waits for that. */
  readonly #leaving = new Map<string, Promise<unknown>>()

  constructor (
    private readonly connection: Connection,
    private readonly sql: Statements,
    readonly lease: number,
    readonly claim: number,
    readonly now: () => number
  ) {
    const batcher = (bulk: Bulk) => new Batcher(new RowSender(connection, bulk), connection.limit)
    const { acquire, save, touch, leave, read } = sql
    this.#batchers = { acquire: batcher(acquire), save: batcher(save), touch: batcher(touch), leave: batcher(leave), read: batcher(read) }
  }

  /** Two connections of a pool keep no order, so whatever concerns the key comes after what was begun and not awaited. */
  ask<R> (statement: 'destroy' | 'extend' | 'describe', values: RowValues, reaction: StepReaction<R>): Promise<R> {
    return this.#inTurn(values, () => this.#query(this.sql[statement], values, reaction))
  }

  /** null: there is no such row. */
  read<R> (values: RowValues, reaction: AnswerReaction<Row | null, R>): Promise<R> {
    return this.#inTurn(values, () => this.#batchers.read.ask(values, reaction))
  }

  /** `alone`: probably nobody else wants the session. If somebody does, it takes one statement more. */
  take<R> (step: 'acquire' | 'save' | 'touch', values: RowValues, alone: boolean, reaction: StepReaction<R>): Promise<R> {
    return this.#inTurn(values, () => this.#take(step, values, alone, reaction))
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
    await this.#take('leave', [key, token, this.claim], alone, { done: () => {} })
  }

  #inTurn<T> ([key]: RowValues, ask: () => Promise<T>): Promise<T> {
    return this.#leaving.get(key)?.then(ask) ?? ask()
  }

  #take<R> (step: 'acquire' | 'save' | 'touch' | 'leave', values: RowValues, alone: boolean, reaction: StepReaction<R>): Promise<R> {
    const { shared } = this.sql[step]
    if (!alone) return this.#query(shared, values, reaction)
    return this.#batchers[step].ask(values, {
      done: (row) => row === null ? this.#query(shared, values, reaction) : reaction.done(row, true),
      failed: (isSent) => reaction.failed?.(isSent)
    })
  }

  #query<R> (text: string, values: RowValues, reaction: StepReaction<R>): Promise<R> {
    return this.connection.query(text, values, {
      done: ({ rows }) => reaction.done(rows[0], false),
      failed: () => reaction.failed?.(true)
    })
  }
}
