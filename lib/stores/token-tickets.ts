// The tickets of one process at a server that knows them by tokens, and that tells by messages who has got a lock.
import type { Ticket } from '../../types/store.js'

/** A ticket that asks or waits. */
export interface TokenTicket<Session> {
  /** null once it has left: a Map that shrinks and grows keeps old entries alive for a while, and a whole request hangs on this. */
  ticket: Ticket | null
  readonly key: string
  readonly token: string
  /** How often it was told to wait. */
  refusals: number
  /** The lock with the session, as it came in a message; and when, on the clock of performance.now(). */
  granted: { readonly session: Session, readonly at: number } | null
}

export class TokenTickets<Session> {
  readonly #byToken = new Map<string, TokenTicket<Session>>()
  /** Those that were told to wait. */
  readonly #byTicket = new WeakMap<Ticket, TokenTicket<Session>>()

  constructor (private readonly newToken: () => string) {}

  /** A ticket that asks. It keeps its token while it waits, so that the server does not queue it twice. */
  enter (ticket: Ticket): TokenTicket<Session> {
    const known = this.#byTicket.get(ticket)
    if (known !== undefined) {
      if (known.key === ticket.key) return known
      this.leave(known) // It has followed a session to its new key, and is somebody new there.
    }
    const entered: TokenTicket<Session> = { ticket, key: ticket.key, token: this.newToken(), refusals: 0, granted: null }
    // Before the server is asked: the message may be quicker than the answer.
    this.#byToken.set(entered.token, entered)
    return entered
  }

  /** It was told to wait, and will ask again or give up; once more, if it has left while the server was asked. */
  stay (entered: TokenTicket<Session>, ticket: Ticket): void {
    entered.refusals++
    entered.ticket = ticket
    this.#byToken.set(entered.token, entered)
    this.#byTicket.set(ticket, entered)
  }

  /** A ticket that was told to wait. */
  find (ticket: Ticket): TokenTicket<Session> | undefined {
    return this.#byTicket.get(ticket)
  }

  leave (entered: TokenTicket<Session>): void {
    this.#byToken.delete(entered.token)
    if (entered.ticket !== null) this.#byTicket.delete(entered.ticket)
    entered.ticket = null
  }

  /** What a message has brought, if it came less than `age` ms ago. Only once. */
  takeGrant (entered: TokenTicket<Session>, age: number): Session | null {
    const { granted } = entered
    entered.granted = null
    return granted !== null && performance.now() - granted.at < age ? granted.session : null
  }

  /** A message for a token. `session`: what it brings; null when the ticket has to ask. */
  hear (token: string, session: () => Session | null): void {
    const entered = this.#byToken.get(token)
    if (entered === undefined) return
    const brought = session()
    if (brought !== null) entered.granted = { session: brought, at: performance.now() }
    entered.ticket?.wake()
  }

  wakeAll (): void {
    for (const { ticket } of this.#byToken.values()) ticket?.wake()
  }
}
