// Knows what every session must hold at the end, whatever the clients did, and notices when it does not.
//
// Each write appends a token of its own to the session's list and adds one to its counter. A token is 'kept' when
// whoever wrote it was told, or may rely on it, that it is saved; 'dropped' when it was told the opposite.
import type { FastifyRequest } from 'fastify'
import type { Session, SessionRecord } from '../../lib/index.js'

export type Fate = 'kept' | 'dropped' | 'either'

export interface Token {
  readonly id: number
  readonly owner: string
  /** What wrote it. */
  readonly kind: string
  fate: Fate
}

/** A session as the oracle knows it: by name, whatever its id is at the moment. */
interface Owner {
  cookie: string
  /** The largest counter that a client was told. */
  floor: number
  /** Requests whose handlers may believe that they hold the lock. */
  readonly inside: Set<FastifyRequest>
  /** As last accepted by the store. */
  accepted: number[]
}

export class Oracle {
  readonly tokens: Token[] = []
  /** Writes that the session refused, because the request was over. */
  refused = 0
  /** Requests that found another session than they asked for, because theirs had been regenerated. */
  strays = 0
  /** The first few things that went wrong, in words, and how many of each kind. */
  readonly problems = new Map<string, number>()
  readonly #owners = new Map<string, Owner>()

  add (name: string, cookie: string): void {
    this.#owners.set(name, { cookie, floor: 0, inside: new Set(), accepted: [] })
  }

  get names (): string[] { return [...this.#owners.keys()] }
  cookieOf (name: string): string { return this.#owners.get(name)!.cookie }
  floorOf (name: string): number { return this.#owners.get(name)!.floor }

  moved (name: string, cookie: string): void { this.#owners.get(name)!.cookie = cookie }

  /** A client was told, in a whole answer, that the counter is `n`. */
  told (name: string, n: number): void {
    const owner = this.#owners.get(name)!
    owner.floor = Math.max(owner.floor, n)
  }

  enter (name: string, request: FastifyRequest): void { this.#owners.get(name)?.inside.add(request) }
  leave (name: string, request: FastifyRequest): void { this.#owners.get(name)?.inside.delete(request) }

  /** Reads the counter. null: this is not the session that was asked for. */
  read (name: string, request: FastifyRequest, session: Session = request.session): number | null {
    if (session.get('owner') !== name) {
      this.strays++
      return null
    }
    const n = session.get('n')
    if (n !== session.get('tokens').length) this.report('a session was read half written')
    if (n < Number(request.headers['x-floor'])) this.report('a client was told a number, and its next request read a smaller one')
    return n
  }

  /** Writes a token. null: this is not the session that was asked for. Throws what the session throws. */
  write (name: string, kind: string, request: FastifyRequest, fate: Fate, session: Session = request.session): Token | null {
    const n = this.read(name, request, session)
    if (n === null) return null
    const token: Token = { id: this.tokens.length, owner: name, kind, fate }
    this.tokens.push(token)
    try {
      session.set('tokens', [...session.get('tokens'), token.id])
      session.set('n', n + 1)
    } catch (error) {
      token.fate = 'dropped'
      this.refused++
      throw error
    }
    for (const other of this.#owners.get(name)!.inside) {
      if (other !== request && other.session.locked && !other.session.isNew) this.report(`two requests held the lock at once: ${kind}`)
    }
    return token
  }

  /** The store has accepted a write. */
  accepted (record: SessionRecord): void {
    const { owner: name, tokens } = JSON.parse(String(record.data)) as { owner?: string, tokens: number[] }
    const owner = name === undefined ? undefined : this.#owners.get(name)
    if (owner === undefined) return
    const last = owner.accepted.length - 1
    if (last >= 0 && tokens[last] !== owner.accepted[last]) this.report('a save undid another one')
    owner.accepted = tokens
  }

  report (problem: string): void {
    this.problems.set(problem, (this.problems.get(problem) ?? 0) + 1)
  }

  /** Compares what the store has with what it must have. */
  check (name: string, data: { n: number, tokens: number[] } | null): void {
    const stored = new Set(data?.tokens)
    if (data === null) this.report('a session has vanished')
    else if (data.n !== data.tokens.length || stored.size !== data.n) this.report('a counter is wrong')
    for (const token of this.tokens) {
      if (token.owner !== name) continue
      if (token.fate === 'kept' && !stored.has(token.id)) this.report(`lost: ${token.kind}`)
      if (token.fate === 'dropped' && stored.has(token.id)) this.report(`saved although dropped: ${token.kind}`)
    }
  }
}
