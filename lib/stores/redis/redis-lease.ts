// The right to one session: the token that the server knows, and a heartbeat while it is held.
import type { Lease, SessionRecord, SessionTimes, Ticket } from '../../../types/store.js'
import { quietly } from '../../awaitable.js'
import { LockLostError } from '../../errors.js'
import type { Argument } from './connection.js'
import { dataOf, headOf, type Loaded } from './record-text.js'
import type { Scripts } from './scripts.js'
import type { SessionScripts } from './session-scripts.js'

export class RedisLease implements Lease {
  readonly outcome = 'granted'
  record: SessionRecord
  uncontended = false
  #since = performance.now()
  #version: string
  #writes = 0
  #ended = false
  #unanswered = false
  /** Until when the lock is ours without a doubt, on the clock of performance.now(): two thirds of what the server grants. */
  #sureUntil: number
  #lapsing: Promise<unknown> | null = null
  #heartbeat: NodeJS.Timeout | undefined

  /** `validFor`: for how long the server keeps the lock without a heartbeat, in ms. */
  constructor (
    private readonly scripts: SessionScripts,
    private ticket: Ticket,
    private readonly key: string,
    private readonly token: string,
    loaded: Loaded,
    validFor: number
  ) {
    this.record = loaded.record
    this.#version = loaded.version
    this.#sureUntil = this.#since + validFor * 2 / 3
    this.#beatIn(validFor / 3)
  }

  save (record: SessionRecord, { release = false } = {}): Promise<void> {
    const id = this.#newId()
    return this.#write('save', release, id, record, [headOf(id, record), dataOf(record)], () => {
      this.record = record
      // Never a number alone: after a failover two histories may reach the same one.
      this.#version = id
    })
  }

  touch (times: SessionTimes, { release = false } = {}): Promise<void> {
    const { lastAccessedAt, expiresAt } = times
    return this.#write('touch', release, this.#newId(), times, [String(lastAccessedAt)], () => { this.record = { ...this.record, lastAccessedAt, expiresAt } })
  }

  async destroy (options?: { movedTo?: string | null }): Promise<void> {
    await this.#lapsing
    const movedTo = options?.movedTo
    const done = await this.#run('destroy', this.#version, movedTo === undefined ? 'gone' : 'moved', movedTo ?? '')
    if (done !== 1) throw this.#lost()
    this.#end()
  }

  async release (): Promise<void> {
    await this.#lapsing
    if (this.#ended) return
    this.#end()
    const released = this.#run('write', this.#version, 'none', '1')
    // A request does not wait a second time for a server that has just failed to answer.
    if (this.#unanswered) quietly(() => released)
    else await released
  }

  lapse (): void {
    if (this.#ended) return
    this.#end()
    // What comes later on this lease must not overtake it.
    this.#lapsing = this.#run('write', this.#version, 'none', '1').catch(() => {})
  }

  pass (next: Ticket): Lease | null {
    const now = performance.now()
    if (this.#ended || now >= this.#sureUntil || this.record.expiresAt <= this.scripts.now()) return null
    this.ticket = next
    this.#since = now
    this.uncontended = false
    return this
  }

  describe (): void {
    if (!this.#ended) quietly(() => this.#renew(`${this.ticket.method} ${this.ticket.route}`))
  }

  /** Of a write. A save makes it the version of the session. */
  #newId (): string {
    return `${this.token}.${++this.#writes}`
  }

  /** No async function: each promise costs, and this is the way of every request. */
  #write (mode: 'save' | 'touch', release: boolean, id: string, times: SessionTimes, values: Argument[], done: () => void): Promise<void> {
    const send = (): Promise<void> => {
      const args = [this.#version, mode, release ? '1' : '0', id, this.scripts.timeToLive(times), String(times.expiresAt), ...values]
      return this.scripts.ask('write', this.key, this.token, args, {
        done: (written) => {
          this.#unanswered = false
          if (written === 0) throw this.#lost()
          this.uncontended = written === 1
          done()
          if (release) this.#end()
        },
        failed: () => {
          this.#unanswered = true
          this.#sureUntil = 0
        }
      })
    }
    return this.#lapsing === null ? send() : this.#lapsing.then(send)
  }

  #run (script: keyof Scripts, ...args: Argument[]): Promise<unknown> {
    return this.scripts.run(script, this.key, this.token, ...args)
  }

  async #renew (holder: string): Promise<void> {
    const held = performance.now() - this.#since
    const lease = Math.floor(Math.min(this.scripts.lease, this.ticket.maxHold - held))
    if (lease <= 0) return
    const asked = performance.now()
    const mine = await this.#run('renew', String(lease), holder, String(Math.round(held)))
    if (mine === 1) this.#sureUntil = asked + lease * 2 / 3
    else this.#lost()
  }

  #beatIn (delay: number): void {
    this.#heartbeat = setTimeout(() => {
      if (performance.now() - this.#since >= this.ticket.maxHold) return
      this.#beatIn(this.scripts.lease / 3)
      quietly(() => this.#renew(''))
    }, delay).unref()
  }

  #lost (): Error {
    clearTimeout(this.#heartbeat)
    this.#sureUntil = 0
    return new LockLostError()
  }

  #end (): void {
    this.#ended = true
    clearTimeout(this.#heartbeat)
  }
}
