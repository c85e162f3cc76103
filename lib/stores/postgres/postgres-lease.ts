// The lock of one session, as its row knows it by a token.
import { randomUUID } from 'node:crypto'
import type { Lease, SessionRecord, SessionTimes, Ticket } from '../../../types/store.js'
import { LockLostError } from '../../errors.js'
import { valuesOf } from './record.js'
import type { RowAccess } from './row-access.js'

/** After regenerate(), for those who wait. Nobody waits longer without asking again. */
const SIGNPOST = 60_000
/** After a heartbeat that failed, in ms. */
const RETRY = 200

export class PostgresLease implements Lease {
  readonly outcome = 'granted'
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
    public record: SessionRecord,
    private version: string,
    /** Until the next heartbeat has to come, in ms. */
    granted: number
  ) {
    this.#sureUntil = this.#since + granted * 2 / 3
    this.#beatIn(granted / 3)
  }

  async save (record: SessionRecord, options?: { release?: boolean }): Promise<void> {
    const release = options?.release === true
    const version = randomUUID()
    await this.#write('save', [this.version, release, this.rows.claim, ...valuesOf(record), version], release)
    this.record = record
    this.version = version
  }

  async touch (times: SessionTimes, options?: { release?: boolean }): Promise<void> {
    const release = options?.release === true
    await this.#write('touch', [this.version, release, this.rows.claim, times.lastAccessedAt, times.expiresAt], release)
    this.record = { ...this.record, ...times }
  }

  async destroy (options?: { movedTo?: string | null }): Promise<void> {
    const movedTo = options?.movedTo
    await this.#write('destroy', [this.version, movedTo !== undefined, movedTo ?? null, this.rows.now() + SIGNPOST], true)
  }

  async release (): Promise<void> {
    if (this.#ended) return
    this.#end()
    await this.rows.leave(this.key, this.token)
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
    return this
  }

  describe (): void {
    const { method, route } = this.ticket
    this.rows.ask('describe', this.key, [this.token, JSON.stringify({ method, route }), performance.now() - this.#since]).catch(() => {})
  }

  /** Rule S1 is checked by the statement, on the row as it is then. */
  async #write (statement: 'save' | 'touch' | 'destroy', values: unknown[], ends: boolean): Promise<void> {
    try {
      const [row] = await this.rows.ask(statement, this.key, [this.token, ...values])
      if (row?.done !== true) throw new LockLostError()
    } catch (error) {
      this.#sureUntil = 0
      throw error
    }
    if (ends) this.#end()
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
    this.rows.ask('extend', this.key, [this.token, lease]).then((rows) => {
      this.#sureUntil = rows.length === 0 ? 0 : asked + lease * 2 / 3
      if (!this.#ended) this.#beatIn(lease / 3)
    }, () => { if (!this.#ended) this.#beatIn(RETRY) })
  }

  #end (): void {
    this.#ended = true
    clearTimeout(this.#heartbeat)
  }
}
