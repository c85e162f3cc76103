// Those of this process who wait, and the channel on which Redis tells them that they have got the lock.
import type { Ticket } from '../../../types/store.js'
import type { Connection } from './connection.js'
import { type Loaded, parseRecord } from './record-text.js'

/** A ticket that was told to wait. */
export interface Waiting {
  readonly ticket: Ticket
  readonly key: string
  readonly token: string
  /** The lock, with the session, as it came in a message; and when, on the clock of performance.now(). */
  granted: { readonly loaded: Loaded, readonly at: number } | null
}

const NEWLINE = 10

export class WaitingList {
  readonly #byTicket = new WeakMap<Ticket, Waiting>()
  readonly #byToken = new Map<string, Waiting>()
  readonly #connection: Connection
  readonly #channel: string
  readonly #newToken: () => string
  #subscribing: Promise<void> | null = null
  #unsubscribe: (() => Promise<void>) | null = null
  #hears = false
  #closed = false

  constructor (connection: Connection, channel: string, newToken: () => string) {
    this.#connection = connection
    this.#channel = channel
    this.#newToken = newToken
  }

  /** Whether messages arrive, as far as we know. */
  get hears (): boolean { return this.#hears }

  /** A ticket keeps its token while it waits, so that asking again does not put it into the list twice. */
  enter (ticket: Ticket): Waiting {
    const known = this.#byTicket.get(ticket)
    if (known !== undefined && known.key === ticket.key) return known
    const waiting = { ticket, key: ticket.key, token: this.#newToken(), granted: null }
    this.#byTicket.set(ticket, waiting)
    this.#byToken.set(waiting.token, waiting)
    return waiting
  }

  find (ticket: Ticket): Waiting | undefined {
    return this.#byTicket.get(ticket)
  }

  leave (waiting: Waiting): void {
    this.#byTicket.delete(waiting.ticket)
    this.#byToken.delete(waiting.token)
  }

  /** Subscribes, once. The client renews the subscription by itself. */
  async listen (): Promise<void> {
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
    for (const { ticket } of this.#byToken.values()) ticket.wake()
  }

  #hear (message: Buffer): void {
    const end = message.indexOf(NEWLINE)
    const waiting = this.#byToken.get(message.toString('latin1', 0, end))
    if (waiting === undefined) return
    // Without a record it is too large to send, or there is none any more: then the ticket asks.
    const loaded = end + 1 < message.length ? parseRecord(message.subarray(end + 1)) : null
    if (loaded !== null) waiting.granted = { loaded, at: performance.now() }
    waiting.ticket.wake()
  }
}
