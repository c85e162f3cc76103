// Sessions in Redis or Valkey. The lock is in the session itself; who releases it hands it to the next, with the data.
import { randomBytes } from 'node:crypto'
import type { Awaitable, Busy, Lease, Moved, PruneOptions, PruneResult, SessionRecord, Store, StoreContext, Ticket } from '../../../types/store.js'
import { quietly } from '../../awaitable.js'
import { ConflictError, InvalidOptionError, TooLargeError } from '../../errors.js'
import { checkAll, positiveDuration } from '../../options/check.js'
import { type Connection, connectionOf, escapeGlob, type IoredisLike, type NodeRedisLike } from './clients.js'
import { dataOf, kindOf, type Loaded, parseRecord, userOf } from './record-text.js'
import { RedisLease } from './redis-lease.js'
import { ACQUIRE, CANCEL, CREATE, READ, SWEEP } from './scripts.js'
import { SessionScripts } from './session-scripts.js'
import { WaitingTickets } from './waiting-tickets.js'

export interface RedisStoreOptions {
  /** The application's client: ioredis, iovalkey or node-redis, also a cluster. node-redis must be connected. It stays open after `close()`. */
  client: IoredisLike | NodeRedisLike
  /** All keys and channels begin with it. No braces. Default `'session:'`. */
  prefix?: string
  /** For how long a lock outlives a process that died with it, in ms. Renewed at a third of it: shorter costs more commands. Default 10 000. */
  lease?: number
  /** For how long a lock that was handed over waits for its new holder, in ms; a process blocked for longer loses its turn. Default 1500. */
  claim?: number
  /** The longest wait for an answer of the server, in ms; then `FST_SESSION_STORE_UNAVAILABLE`. Default 2000. */
  timeout?: number
}

/** Of the script ACQUIRE. */
type AcquireAnswer = [number, Buffer, Buffer, Buffer]

/** A waiter asks at least every second; who has not for so long is gone. In ms. */
const ALIVE = 3000
const LONGEST_POLL = 1000
/** Between questions while no message can arrive. In ms. */
const DEAF_POLL = 50

export class RedisStore implements Store {
  readonly scope = 'network'
  readonly #connection: Connection
  readonly #scripts: SessionScripts
  readonly #prefix: string
  /** Names this process in tokens, and its channel. */
  readonly #process = randomBytes(9).toString('base64url')
  readonly #waiting = new WaitingTickets()
  #tokens = 0
  #log: StoreContext['log'] | null = null
  #closed = false
  #listening = false
  #subscribing: Promise<void> | null = null
  #unsubscribe: (() => Promise<void>) | null = null

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
    this.#connection = connection
    this.#prefix = options.prefix ?? 'session:'
    this.#scripts = new SessionScripts(connection, {
      prefix: this.#prefix, lease: options.lease ?? 10_000, claim: options.claim ?? 1500, timeout: options.timeout ?? 2000
    })
  }

  /** Does not fail when the server is away: requests do, until it is back. */
  async open (context: StoreContext): Promise<void> {
    this.#scripts.now = context.now
    this.#scripts.maxRecordSize = context.maxRecordSize
    this.#log = context.log
    try {
      await this.#scripts.bounded(this.#listen())
    } catch (error) {
      context.log.warn({ err: error }, 'Cannot subscribe to Redis yet; those who wait for a session lock ask again and again')
    }
  }

  async close (): Promise<void> {
    this.#closed = true
    this.#listening = false
    await this.#unsubscribe?.()
  }

  acquire (ticket: Ticket): Awaitable<Lease | Busy | Moved | null> {
    const scripts = this.#scripts
    const waiting = this.#waiting.get(ticket)
    const token = waiting?.token ?? this.#newToken()
    const grant = waiting?.grant ?? null
    if (grant !== null && performance.now() - grant.at < scripts.claim / 2) {
      this.#waiting.remove(ticket)
      return new RedisLease(scripts, ticket, token, grant.loaded, scripts.claim / 2)
    }
    const { key } = ticket
    const lease = Math.max(1, Math.floor(Math.min(scripts.lease, ticket.maxHold)))
    // Who has given up must not get a lock when the server is back.
    const asked = scripts.run(ACQUIRE, key, token, [String(lease), String(ALIVE)], () => this.#giveBack(key, token))
    return asked.then((answer) => this.#answered(ticket, token, lease, answer as AcquireAnswer), (error: unknown) => {
      this.#waiting.remove(ticket)
      throw error
    })
  }

  #answered (ticket: Ticket, token: string, lease: number, answer: AcquireAnswer): Lease | Busy | Moved | null {
    if (answer[0] === 2) {
      this.#waiting.add(ticket, token)
      if (!this.#listening) quietly(() => this.#listen())
      return busy(answer, this.#listening)
    }
    this.#waiting.remove(ticket)
    if (answer[0] === 3) {
      const movedTo = answer[1].toString()
      return { outcome: 'moved', movedTo: movedTo === '' ? null : movedTo, movedAt: Number(process.hrtime.bigint()) / 1e6 - Number(answer[2]) }
    }
    const loaded = this.#loaded(answer)
    if (loaded !== null) return new RedisLease(this.#scripts, ticket, token, loaded, lease)
    if (answer[0] === 1) this.#giveBack(ticket.key, token)
    return null
  }

  async cancel (ticket: Ticket): Promise<void> {
    const waiting = this.#waiting.remove(ticket)
    if (waiting !== undefined) await this.#scripts.run(CANCEL, waiting.key, waiting.token, [])
  }

  async read (key: string): Promise<SessionRecord | null> {
    return this.#loaded(await this.#scripts.run(READ, key, '', []) as [number, Buffer])?.record ?? null
  }

  async create (key: string, record: SessionRecord): Promise<void> {
    const created = await this.#scripts.run(CREATE, key, '', [this.#newToken(), this.#scripts.timeToLive(record), kindOf(record),
      String(record.createdAt), String(record.lastAccessedAt), String(record.expiresAt), userOf(record), dataOf(record)])
    if (created !== 1) throw new ConflictError('exists already')
  }

  async * entries (): AsyncGenerator<[string, SessionRecord]> {
    for await (const keys of this.#scan()) {
      const answers = await Promise.all(keys.map(async key => await this.#scripts.run(READ, key, '', []) as [number, Buffer]))
      for (const [index, answer] of answers.entries()) {
        const record = answer[0] === 1 ? parseRecord(answer[1])?.record : undefined
        if (record !== undefined) yield [keys[index]!, record]
      }
    }
  }

  async count (): Promise<number> {
    return (await this.#sweep(-Infinity, false)).remaining
  }

  async prune ({ idleSince = -Infinity }: PruneOptions = {}): Promise<PruneResult> {
    return await this.#sweep(idleSince, true)
  }

  async #sweep (idleSince: number, remove: boolean): Promise<PruneResult> {
    const limit = String(Math.max(-1e15, Math.min(idleSince, 1e15)))
    const result = { deleted: 0, remaining: 0 }
    for await (const keys of this.#scan()) {
      const answers = await Promise.all(keys.map(async key => await this.#scripts.run(SWEEP, key, '', [limit, remove ? '1' : '0'])))
      for (const answer of answers) {
        if (answer === 1) result.remaining++
        else if (answer === 2) result.deleted++
      }
    }
    return result
  }

  /** Each key once. Remembers all of them meanwhile: SCAN may repeat itself. */
  async * #scan (): AsyncGenerator<string[]> {
    const seen = new Set<string>()
    const pages = this.#connection.scan(`${escapeGlob(this.#prefix)}{*}`)[Symbol.asyncIterator]()
    for (;;) {
      const page = await this.#scripts.bounded(pages.next())
      if (page.done === true) return
      const keys = page.value.map(name => name.slice(this.#prefix.length + 1, -1)).filter(key => !seen.has(key))
      for (const key of keys) seen.add(key)
      yield [...new Set(keys)]
    }
  }

  #loaded (answer: [number, Buffer | number, ...unknown[]]): Loaded | null {
    if (answer[0] === 4) throw new TooLargeError(Number(answer[1]), this.#scripts.maxRecordSize)
    const loaded = answer[0] === 1 ? parseRecord(answer[1] as Buffer) : null
    if (loaded === null && answer[0] !== 0) this.#log?.warn({}, 'A stored session cannot be read and counts as missing')
    return loaded
  }

  #giveBack (key: string, token: string): void {
    quietly(() => this.#scripts.run(CANCEL, key, token, []))
  }

  #newToken (): string {
    return `${this.#process}.${++this.#tokens}`
  }

  async #listen (): Promise<void> {
    this.#subscribing ??= this.#subscribe().finally(() => { this.#subscribing = null })
    await this.#subscribing
  }

  async #subscribe (): Promise<void> {
    if (this.#closed || this.#listening) return
    const channel = this.#scripts.channel + this.#process
    const unsubscribe = await this.#connection.subscribe(channel, (message) => this.#waiting.hear(message), () => this.#waiting.wakeAll())
    if (this.#closed) return await unsubscribe()
    this.#unsubscribe = unsubscribe
    this.#listening = true
  }
}

function busy (answer: AcquireAnswer, listening: boolean): Busy {
  const left = Math.max(Number(answer[1]), 0) + 10
  const [, method, route] = /^\d+ (\S+) (.*)$/s.exec(answer[2].toString()) ?? []
  return {
    outcome: 'busy',
    retryAfter: Math.min(left, listening ? LONGEST_POLL : DEAF_POLL),
    holder: () => method === undefined || route === undefined ? null : { method, route, heldFor: Number(answer[3]) }
  }
}
