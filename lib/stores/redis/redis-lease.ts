// The right to one session: the token that the server knows, and a heartbeat while it is held.
import type { Lease, SessionRecord, SessionTimes, Ticket } from '../../../types/store.js'
import { quietly } from '../../awaitable.js'
import { LockLostError } from '../../errors.js'
import type { Argument } from './connection.js'
import { dataOf, kindOf, type Loaded, userOf } from './record-text.js'
import type { Script } from './lua.js'
import { DESTROY, RENEW, WRITE } from './scripts.js'
import type { SessionScripts } from './session-scripts.js'

export class RedisLease implements Lease {
  readonly outcome = 'granted'
  record: SessionRecord
  readonly #since = performance.now()
  #version: string
  #writes = 0
  #ended = false
  #unanswered = false
  #lapsing: Promise<unknown> | null = null
  #heartbeat: NodeJS.Timeout | undefined

  /** `validFor`: for how long the server keeps the lock without a heartbeat, in ms. */
  constructor (
    private readonly scripts: SessionScripts,
    private readonly ticket: Ticket,
    private readonly key: string,
    private readonly token: string,
    loaded: Loaded,
    validFor: number
  ) {
    this.record = loaded.record
    this.#version = loaded.version
    this.#beatIn(validFor / 3)
  }

  async save (record: SessionRecord, { release = false } = {}): Promise<void> {
    // The id of the write becomes the version. Never a number alone: after a failover two histories may reach the same one.
    this.#version = await this.#write('save', release, record, [kindOf(record), String(record.createdAt), userOf(record), dataOf(record)])
    this.record = record
  }

  async touch (times: SessionTimes, { release = false } = {}): Promise<void> {
    await this.#write('touch', release, times, [])
    this.record = { ...this.record, lastAccessedAt: times.lastAccessedAt, expiresAt: times.expiresAt }
  }

  async destroy (options?: { movedTo?: string | null }): Promise<void> {
    await this.#lapsing
    const movedTo = options?.movedTo
    const done = await this.#run(DESTROY, this.#version, movedTo === undefined ? 'gone' : 'moved', movedTo ?? '')
    if (done !== 1) throw new LockLostError()
    this.#end()
  }

  async release (): Promise<void> {
    await this.#lapsing
    if (this.#ended) return
    this.#end()
    const released = this.#run(WRITE, this.#version, 'none', '1')
    // A request does not wait a second time for a server that has just failed to answer.
    if (this.#unanswered) quietly(() => released)
    else await released
  }

  lapse (): void {
    if (this.#ended) return
    this.#end()
    // What comes later on this lease must not overtake it.
    this.#lapsing = this.#run(WRITE, this.#version, 'none', '1').catch(() => {})
  }

  describe (): void {
    if (!this.#ended) quietly(() => this.#renew(`${this.ticket.method} ${this.ticket.route}`))
  }

  /** Resolves to the id of the write. */
  async #write (mode: 'save' | 'touch', release: boolean, times: SessionTimes, data: Argument[]): Promise<string> {
    await this.#lapsing
    const id = `${this.token}.${++this.#writes}`
    const values = [id, this.scripts.timeToLive(times), String(times.lastAccessedAt), String(times.expiresAt), ...data]
    let written
    try {
      written = await this.#run(WRITE, this.#version, mode, release ? '1' : '0', ...values)
    } catch (error) {
      this.#unanswered = true
      throw error
    }
    this.#unanswered = false
    if (written !== 1) throw new LockLostError()
    if (release) this.#end()
    return id
  }

  async #run (script: Script, ...args: Argument[]): Promise<unknown> {
    return await this.scripts.run(script, this.key, this.token, ...args)
  }

  async #renew (holder: string): Promise<void> {
    const held = performance.now() - this.#since
    const lease = Math.floor(Math.min(this.scripts.lease, this.ticket.maxHold - held))
    if (lease <= 0) return
    const mine = await this.#run(RENEW, String(lease), holder, String(Math.round(held)))
    if (mine !== 1) clearTimeout(this.#heartbeat)
  }

  #beatIn (delay: number): void {
    this.#heartbeat = setTimeout(() => {
      if (performance.now() - this.#since >= this.ticket.maxHold) return
      this.#beatIn(this.scripts.lease / 3)
      quietly(() => this.#renew(''))
    }, delay).unref()
  }

  #end (): void {
    this.#ended = true
    clearTimeout(this.#heartbeat)
  }
}
