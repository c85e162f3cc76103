// The channel on which Redis tells those of this process who wait that they have got the lock.
import type { TokenTickets } from '../token-tickets.js'
import type { Connection } from './connection.js'
import { type Loaded, parseRecord } from './record-text.js'

const NEWLINE = 10

export class Listener {
  readonly #connection: Connection
  readonly #channel: string
  readonly #tickets: TokenTickets<Loaded>
  #subscribing: Promise<void> | null = null
  #unsubscribe: (() => Promise<void>) | null = null
  #hears = false
  #closed = false

  constructor (connection: Connection, channel: string, tickets: TokenTickets<Loaded>) {
    this.#connection = connection
    this.#channel = channel
    this.#tickets = tickets
  }

  /** Whether messages arrive, as far as we know. */
  get hears (): boolean { return this.#hears }

  /** Subscribes, once. The client renews the subscription by itself. */
  async start (): Promise<void> {
    if (this.#closed || this.#unsubscribe !== null) return
    this.#subscribing ??= this.#subscribe().finally(() => { this.#subscribing = null })
    await this.#subscribing
  }

  async close (): Promise<void> {
    this.#closed = true
    this.#hears = false
    await this.#unsubscribe?.()
  }

  async #subscribe (): Promise<void> {
    const unsubscribe = await this.#connection.subscribe(this.#channel, {
      message: (message) => this.#hear(message),
      lost: () => this.#becomes(false),
      back: () => this.#becomes(true)
    })
    if (this.#closed) return await unsubscribe()
    this.#unsubscribe = unsubscribe
    this.#hears = true
  }

  /** All ask: those who are deaf now have to say so, those who hear again may have missed their turn. */
  #becomes (hears: boolean): void {
    if (this.#closed) return
    this.#hears = hears
    this.#tickets.wakeAll()
  }

  #hear (message: Buffer): void {
    const end = message.indexOf(NEWLINE)
    // Without a record it is too large to send, or there is none any more.
    this.#tickets.hear(message.toString('latin1', 0, end), () => end + 1 < message.length ? parseRecord(message.subarray(end + 1)) : null)
  }
}
