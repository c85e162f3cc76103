// The lock of one session, as its row knows it by a token.
import type { Lease, SessionRecord, SessionTimes, Ticket } from '../../../types/store.js'
import { LockLostError } from '../../errors.js'
import type { RowValues } from './bulk.js'
import { bytesOf, type Loaded } from './record.js'
import type { RowAccess, StepReaction } from './row-access.js'

/** After regenerate(), for those who wait. Nobody waits longer without asking again. */
const SIGNPOST = 60_000
/** After a heartbeat that failed, in ms. */
const RETRY = 200

export class PostgresLease implements Lease {
  readonly outcome = 'granted'
  record: SessionRecord
  uncontended = false
  /** As of the last answer nobody else wanted it, and probably nobody will. */
  #alone: boolean
  #version: string
  #since = performance.now()
  /** Until when the lock is ours without a doubt, on the clock of performance.now(): two thirds of what the server grants. */
  #sureUntil: number
  #ended = false
  #heartbeat: NodeJS.Timeout | undefined

  constructor (
    private readonly rows: RowAccess,
    private ticket: Ticket,
    private readonly key: string,
    private readonly token: string,
    loaded: Loaded,
    /** Until the next heartbeat has to come, in ms. */
    granted: number,
    alone: boolean
  ) {
    this.#alone = alone
    this.record = loaded.record
    this.#version = loaded.version
    this.#sureUntil = this.#since + granted * 2 / 3
    this.#beatIn(granted / 3)
  }

  save (record: SessionRecord, { release = false } = {}): Promise<void> {
    // Never a number alone: after a failover two histories may reach the same one.
    const version = this.rows.ids.next()
    const { data, user, createdAt, lastAccessedAt, expiresAt } = record
    const values: RowValues = [this.key, this.token, release, bytesOf(data), typeof data === 'string', user, createdAt, lastAccessedAt, expiresAt, version, this.#version, this.rows.claim]
    return this.#write('save', values, release, () => {
      this.record = record
      this.#version = version
    })
  }

  touch (times: SessionTimes, { release = false } = {}): Promise<void> {
    const values: RowValues = [this.key, this.token, release, times.lastAccessedAt, times.expiresAt, this.#version, this.rows.claim]
    return this.#write('touch', values, release, () => {
      this.record = { ...this.record, ...times }
    })
  }

  destroy ({ movedTo }: { movedTo?: string | null } = {}): Promise<void> {
    const values: RowValues = [this.key, this.token, this.#version, movedTo !== undefined, movedTo ?? null, this.rows.now() + SIGNPOST]
    return this.rows.ask('destroy', values, this.#checked(() => this.#end()))
  }

  async release (): Promise<void> {
    if (this.#ended) return
    this.#end()
    await this.rows.leave(this.key, this.token, this.#alone)
  }

  lapse (): void {
    if (this.#ended) return
    clearTimeout(this.#heartbeat)
    this.#sureUntil = 0
    this.rows.leave(this.key, this.token).catch(() => {})
  }

  pass (next: Ticket): Lease | null {
    const now = performance.now()
    if (this.#ended || now >= this.#sureUntil || this.record.expiresAt <= this.rows.now()) return null
    this.ticket = next
    this.#since = now
    this.uncontended = false
    return this
  }

  describe (): void {
    const { method, route } = this.ticket
    this.rows.ask('describe', [this.key, this.token, JSON.stringify({ method, route }), performance.now() - this.#since], { done () {} }).catch(() => {})
  }

  #write (step: 'save' | 'touch', values: RowValues, release: boolean, done: () => void): Promise<void> {
    return this.rows.take(step, values, this.#alone, this.#checked(() => {
      if (release) this.#end()
      done()
    }))
  }

  /** Rule S1 is checked by the statement, on the row as it is then. If the lock may be lost, it is not passed on. */
  #checked (done: () => void): StepReaction<void> {
    const failed = () => { this.#sureUntil = 0 }
    return {
      done: (row, alone) => {
        if (!alone && typeof row?.alone !== 'boolean') {
          failed()
          throw new LockLostError()
        }
        this.#alone = alone || row?.alone === true
        this.uncontended = this.#alone
        done()
      },
      failed
    }
  }

  #beatIn (ms: number): void {
    this.#heartbeat = setTimeout(() => { this.#beat() }, ms).unref()
  }

  /** Never beyond maxHold: then others may have it, even if this process hangs. */
  #beat (): void {
    const left = this.#since + this.ticket.maxHold - performance.now()
    if (left <= 0) return
    const lease = Math.min(this.rows.lease, left)
    const asked = performance.now()
    this.rows.ask('extend', [this.key, this.token, lease], { done: row => row !== undefined }).then((isOurs) => {
      this.#sureUntil = isOurs ? asked + lease * 2 / 3 : 0
      if (!this.#ended) this.#beatIn(lease / 3)
    }, () => { if (!this.#ended) this.#beatIn(RETRY) })
  }

  #end (): void {
    this.#ended = true
    clearTimeout(this.#heartbeat)
  }
}
