// Sessions in Redis or Valkey. The lock is in the session itself; who releases it hands it to the next, with the data.
import { randomBytes } from 'node:crypto'
import type { Awaitable, Busy, Lease, Moved, PruneOptions, PruneResult, SessionRecord, Store, StoreContext, Ticket } from '../../../types/store.js'
import { quietly } from '../../awaitable.js'
import { ConflictError, InvalidOptionError, TooLargeError } from '../../errors.js'
import { hrtime } from '../../hrtime.js'
import { checkAll, positiveDuration } from '../../options/check.js'
import { type TokenTicket, TokenTickets } from '../token-tickets.js'
import { AllSessions } from './all-sessions.js'
import { connectionOf } from './clients.js'
import type { IoredisLike } from './ioredis.js'
import { Listener } from './listener.js'
import type { NodeRedisLike } from './node-redis.js'
import { dataOf, headOf, type Loaded, parseRecord } from './record-text.js'
import { RedisLease } from './redis-lease.js'
import { SessionScripts } from './session-scripts.js'

export interface RedisStoreOptions {
  /** The application's client: ioredis, iovalkey or node-redis, also a cluster. node-redis must be connected. It stays open after `close()`. */
  client: IoredisLike | NodeRedisLike
  /** All keys and channels begin with it. No braces. Default `'session:'`. */
  prefix?: string
  /** For how long a lock outlives a process that died with it, in ms. Renewed at a third of it: shorter costs more commands. Not longer than `lockTimeout`, or nobody who waits lives to see its end. Default 5000. */
  lease?: number
  /** For how long a lock that was handed over waits for its new holder, in ms; a process blocked for longer loses its turn. Default 1500. */
  claim?: number
  /** The longest wait for an answer of the server, in ms; then `FST_SESSION_STORE_UNAVAILABLE`. Default 2000. */
  timeout?: number
}

interface Question { readonly lease: number, readonly hears: boolean, readonly asked: number }

/** Of the script `acquire`. */
type AcquireAnswer = [number, Buffer, Buffer, Buffer]

/** A waiter asks at least every second; who has not for so long is gone. In ms. */
const ALIVE = 3000
const LONGEST_POLL = 1000
/** Between questions while no message can arrive. In ms. */
const DEAF_POLL = 50

export class RedisStore implements Store {
  readonly scope = 'network'
  readonly #scripts: SessionScripts
  readonly #tickets = new TokenTickets<Loaded>(() => this.#newToken())
  readonly #listener: Listener
  readonly #all: AllSessions
  /** Names this process in tokens, and its channel. */
  readonly #process = randomBytes(9).toString('base64url')
  #tokens = 0
  #log: StoreContext['log'] | null = null

  constructor (options: RedisStoreOptions) {
    checkAll(options, {
      client: (value) => connectionOf(value) === null ? 'must be a client of ioredis, iovalkey or node-redis' : null,
      prefix: (value) => typeof value === 'string' && !/[{}]/.test(value) ? null : 'must be a text without braces',
      lease: positiveDuration,
      claim: positiveDuration,
      timeout: positiveDuration
    })
    const connection = connectionOf(options.client)
    if (connection === null) throw new InvalidOptionError('client', 'is missing: pass a client of ioredis, iovalkey or node-redis')
    const { prefix = 'session:', lease = 5000, claim = 1500, timeout = 2000 } = options
    this.#scripts = new SessionScripts(connection, { prefix, lease, claim, timeout, alive: ALIVE })
    this.#listener = new Listener(connection, this.#scripts.channel + this.#process, this.#tickets)
    this.#all = new AllSessions(connection, this.#scripts, prefix)
  }

  /** Does not fail when the server is away: requests do, until it is back. */
  async open (context: StoreContext): Promise<void> {
    this.#scripts.now = context.now
    this.#scripts.maxRecordSize = context.maxRecordSize
    this.#log = context.log
    try {
      await this.#scripts.bounded(this.#listener.start())
    } catch (error) {
      context.log.warn({ err: error }, 'Cannot subscribe to Redis yet; those who wait for a session lock ask again and again')
    }
  }

  async close (): Promise<void> {
    await this.#listener.close()
  }

  acquire (ticket: Ticket): Awaitable<Lease | Busy | Moved | null> {
    const entered = this.#tickets.enter(ticket)
    const { key, token } = entered
    const scripts = this.#scripts
    // Half of the claim is left for the way here and for the first heartbeat.
    const granted = this.#tickets.takeGrant(entered, scripts.claim / 2)
    if (granted !== null) {
      this.#tickets.leave(entered)
      return new RedisLease(scripts, ticket, key, token, granted, scripts.claim / 2)
    }
    const { hears } = this.#listener
    const lease = Math.max(1, Math.floor(Math.min(scripts.lease, ticket.maxHold)))
    const question = { lease, hears, asked: hrtime() }
    return scripts.ask('acquire', key, token, [String(lease), hears ? 'l' : 'd', scripts.maxSize], {
      done: (answer) => this.#take(ticket, entered, question, answer as AcquireAnswer),
      failed: (isSent) => {
        this.#tickets.leave(entered)
        if (isSent) quietly(() => scripts.run('cancel', key, token))
      }
    })
  }

  #take (ticket: Ticket, entered: TokenTicket<Loaded>, { lease, hears, asked }: Question, answer: AcquireAnswer): Lease | Busy | Moved | null {
    if (answer[0] === 2) {
      this.#tickets.stay(entered, ticket)
      quietly(() => this.#listener.start())
      return busy(answer, hears)
    }
    this.#tickets.leave(entered)
    if (answer[0] === 3) {
      const movedTo = answer[1].toString()
      // Counted from the question, not from the answer: rather too early, so that no newcomer follows.
      return { outcome: 'moved', movedTo: movedTo === '' ? null : movedTo, movedAt: asked - Number(answer[2]) }
    }
    const { key, token } = entered
    const loaded = this.#loaded(answer)
    if (loaded !== null) return new RedisLease(this.#scripts, ticket, key, token, loaded, lease)
    if (answer[0] === 1) quietly(() => this.#scripts.run('cancel', key, token))
    return null
  }

  async cancel (ticket: Ticket): Promise<void> {
    const entered = this.#tickets.find(ticket)
    if (entered === undefined) return
    this.#tickets.leave(entered)
    await this.#scripts.run('cancel', entered.key, entered.token)
  }

  async read (key: string): Promise<SessionRecord | null> {
    return this.#loaded(await this.#scripts.run('read', key, '', this.#scripts.maxSize) as [number, Buffer])?.record ?? null
  }

  async create (key: string, record: SessionRecord): Promise<void> {
    const version = this.#newToken()
    const created = await this.#scripts.run('create', key, '', version, this.#scripts.timeToLive(record), String(record.expiresAt),
      headOf(version, record), dataOf(record))
    if (created !== 1) throw new ConflictError('exists already')
  }

  entries (): AsyncIterable<[string, SessionRecord]> {
    return this.#all.entries()
  }

  async count (): Promise<number> {
    return (await this.#all.sweep(-Infinity, false)).remaining
  }

  async prune ({ idleSince = -Infinity }: PruneOptions = {}): Promise<PruneResult> {
    return await this.#all.sweep(idleSince, true)
  }

  #loaded (answer: [number, Buffer | number, ...unknown[]]): Loaded | null {
    if (answer[0] === 4) throw new TooLargeError(Number(answer[1]), this.#scripts.maxRecordSize)
    const loaded = answer[0] === 1 ? parseRecord(answer[1] as Buffer) : null
    if (loaded === null && answer[0] !== 0) this.#log?.warn({}, 'A stored session cannot be read and counts as missing')
    return loaded
  }

  #newToken (): string {
    return `${this.#process}.${++this.#tokens}`
  }
}

function busy (answer: AcquireAnswer, hears: boolean): Busy {
  const left = Math.max(Number(answer[1]), 0) + 10
  const [, method, route] = /^(\S+) (.*)$/s.exec(answer[2].toString()) ?? []
  const since = performance.now() - Number(answer[3])
  return {
    outcome: 'busy',
    retryAfter: Math.min(left, hears ? LONGEST_POLL : DEAF_POLL),
    holder: () => method === undefined || route === undefined ? null : { method, route, heldFor: Math.round(performance.now() - since) }
  }
}
