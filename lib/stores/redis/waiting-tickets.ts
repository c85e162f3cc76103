// The tickets of this process that were told to wait, and what other processes have told them.
import type { Ticket } from '../../../types/store.js'
import { type Loaded, parseRecord } from './record-text.js'

/** A lock that its last holder has handed over, with the session. `at`: on the clock of performance.now(). */
export interface Grant { readonly loaded: Loaded, readonly at: number }

interface Waiting {
  readonly ticket: Ticket
  readonly key: string
  /** By which the server knows it. It stays the same while the ticket waits, so that asking again takes no second place. */
  readonly token: string
  grant: Grant | null
}

/** More messages than this one never overtake their answers. */
const MAX_EARLY = 100

export class WaitingTickets {
  readonly #byTicket = new WeakMap<Ticket, Waiting>()
  readonly #byToken = new Map<string, Waiting>()
  /** Messages come on a connection of their own, so one may overtake the answer that tells its ticket to wait. */
  readonly #early = new Map<string, Buffer>()

  get (ticket: Ticket): Waiting | undefined {
    const waiting = this.#byTicket.get(ticket)
    if (waiting === undefined || waiting.key === ticket.key) return waiting
    // It has followed a session to its new key, and is somebody new there.
    this.#remove(waiting)
    return undefined
  }

  add (ticket: Ticket, token: string): void {
    if (this.get(ticket) !== undefined) return
    const waiting = { ticket, key: ticket.key, token, grant: null }
    this.#byTicket.set(ticket, waiting)
    this.#byToken.set(token, waiting)
    const message = this.#early.get(token)
    if (message === undefined) return
    this.#early.delete(token)
    hear(waiting, message)
  }

  /** What it waited with, if it did. */
  remove (ticket: Ticket): Waiting | undefined {
    const waiting = this.#byTicket.get(ticket)
    if (waiting !== undefined) this.#remove(waiting)
    return waiting
  }

  /** A message is the token, and then the record, if it was small enough to be sent. */
  hear (message: Buffer): void {
    const token = message.toString('latin1', 0, message.indexOf(NEWLINE))
    const waiting = this.#byToken.get(token)
    if (waiting !== undefined) return hear(waiting, message)
    this.#early.set(token, message)
    if (this.#early.size > MAX_EARLY) this.#early.delete(this.#early.keys().next().value!)
  }

  /** After a reconnect: what was said meanwhile is lost. */
  wakeAll (): void {
    for (const { ticket } of this.#byToken.values()) ticket.wake()
  }

  #remove (waiting: Waiting): void {
    this.#byTicket.delete(waiting.ticket)
    this.#byToken.delete(waiting.token)
  }
}

const NEWLINE = 10

function hear (waiting: Waiting, message: Buffer): void {
  const record = message.subarray(message.indexOf(NEWLINE) + 1)
  // Without a record it was too large to send, or there is none any more: then the ticket asks.
  const loaded = record.length > 0 ? parseRecord(record) : null
  if (loaded !== null) waiting.grant = { loaded, at: performance.now() }
  waiting.ticket.wake()
}
