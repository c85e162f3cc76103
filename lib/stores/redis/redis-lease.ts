// The right to one session: the token that the server knows, and a heartbeat while it is held.
import type { Lease, SessionRecord, SessionTimes, Ticket } from '../../../types/store.js'
import { quietly } from '../../awaitable.js'
import { LockLostError } from '../../errors.js'
import { dataOf, kindOf, type Loaded, userOf } from './record-text.js'
import { DESTROY, RENEW, WRITE } from './scripts.js'
import type { SessionScripts } from './session-scripts.js'

export class RedisLease implements Lease {
  readonly outcome = 'granted'
  record: SessionRecord
  readonly #since = performance.now()
  readonly #key: string
  #version: string
  #writes = 0
  #ended = false
  #lapsing: Promise<unknown> | null = null
  #heartbeat: NodeJS.Timeout | undefined

  /** `validFor`: for how long the server keeps the lock without a heartbeat, in ms. */
  constructor (
    private readonly scripts: SessionScripts,
    private readonly ticket: Ticket,
    private readonly token: string,
    loaded: Loaded,
    validFor: number
  ) {
    this.#key = ticket.key
    this.record = loaded.record
    this.#version = loaded.version
    this.#beatIn(validFor / 3)
  }

  save (record: SessionRecord, { release = false } = {}): Promise<void> {
    // Never a number alone: after a failover two histories may reach the same one.
    const version = `${this.token}.${++this.#writes}`
    const values = [version, this.scripts.timeToLive(record), String(record.lastAccessedAt), String(record.expiresAt), kindOf(record), String(record.createdAt), userOf(record), dataOf(record)]
    return this.#write('save', release, values, record, version)
  }

  touch (times: SessionTimes, { release = false } = {}): Promise<void> {
    const { lastAccessedAt, expiresAt } = times
    const values = ['', this.scripts.timeToLive(times), String(lastAccessedAt), String(expiresAt)]
    return this.#write('touch', release, values, { ...this.record, lastAccessedAt, expiresAt }, this.#version)
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
    await this.#run(WRITE, this.#version, 'none', '1')
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

  /** `record` and `version`: what is stored afterwards. */
  #write (mode: string, release: boolean, values: Array<string | Buffer>, record: SessionRecord, version: string): Promise<void> {
    if (this.#lapsing !== null) return this.#lapsing.then(() => this.#send(mode, release, values, record, version))
    return this.#send(mode, release, values, record, version)
  }

  #send (mode: string, release: boolean, values: Array<string | Buffer>, record: SessionRecord, version: string): Promise<void> {
    return this.#run(WRITE, this.#version, mode, release ? '1' : '0', ...values).then((answer) => {
      if (answer !== 1) throw new LockLostError()
      this.record = record
      this.#version = version
      if (release) this.#end()
    })
  }

  #run (script: typeof WRITE, ...args: Array<string | Buffer>): Promise<unknown> {
    return this.scripts.run(script, this.#key, this.token, args)
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
