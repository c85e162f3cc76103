// Sessions in Redis or Valkey. The lock is in the session itself; who releases it hands it to the next, with the data.
import { randomBytes } from 'node:crypto'
import type { Busy, Lease, Moved, PruneOptions, PruneResult, SessionRecord, Store, StoreContext, Ticket } from '../../../types/store.js'
import { quietly } from '../../awaitable.js'
import { ConflictError, InvalidOptionError, TooLargeError } from '../../errors.js'
import { checkAll, positiveDuration } from '../../options/check.js'
import { type Connection, connectionOf, escapeGlob, type IoredisLike, type NodeRedisLike } from './clients.js'
import { dataOf, kindOf, type Loaded, parseRecord, userOf } from './record-text.js'
import { RedisLease } from './redis-lease.js'
import { ACQUIRE, CANCEL, CREATE, READ, SWEEP } from './scripts.js'
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

/** A ticket that was told to wait. */
interface Waiting {
  readonly ticket: Ticket
  readonly key: string
  readonly token: string
  granted: { readonly loaded: Loaded, readonly at: number } | null
}

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
  readonly #waiting = new WeakMap<Ticket, Waiting>()
  readonly #byToken = new Map<string, Waiting>()
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
      prefix: this.#prefix, lease: options.lease ?? 5000, claim: options.claim ?? 1500, timeout: options.timeout ?? 2000
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

  async acquire (ticket: Ticket): Promise<Lease | Busy | Moved | null> {
    const waiting = this.#waitingFor(ticket)
    const { key, token, granted } = waiting
    waiting.granted = null
    const scripts = this.#scripts
    if (granted !== null && performance.now() - granted.at < scripts.claim / 2) {
      this.#forget(waiting)
      return new RedisLease(scripts, ticket, key, token, granted.loaded, scripts.claim / 2)
    }
    const lease = Math.max(1, Math.floor(Math.min(scripts.lease, ticket.maxHold)))
    const answer = await this.#ask(waiting, lease)
    if (answer[0] === 2) {
      if (!this.#listening) quietly(() => this.#listen())
      return busy(answer, this.#listening)
    }
    this.#forget(waiting)
    if (answer[0] === 3) {
      const movedTo = answer[1].toString()
      return { outcome: 'moved', movedTo: movedTo === '' ? null : movedTo, movedAt: Number(process.hrtime.bigint()) / 1e6 - Number(answer[2]) }
    }
    const loaded = this.#loaded(answer)
    if (loaded !== null) return new RedisLease(scripts, ticket, key, token, loaded, lease)
    if (answer[0] === 1) this.#giveBack(key, token)
    return null
  }

  async #ask (waiting: Waiting, lease: number): Promise<[number, Buffer, Buffer, Buffer]> {
    const { key, token } = waiting
    try {
      // Who has given up must not get a lock when the server is back.
      return await this.#scripts.runOrUndo(ACQUIRE, key, token, [String(lease), String(ALIVE)],
        () => this.#giveBack(key, token)) as [number, Buffer, Buffer, Buffer]
    } catch (error) {
      this.#forget(waiting)
      throw error
    }
  }

  async cancel (ticket: Ticket): Promise<void> {
    const waiting = this.#waiting.get(ticket)
    if (waiting === undefined) return
    this.#forget(waiting)
    await this.#scripts.run(CANCEL, waiting.key, waiting.token)
  }

  async read (key: string): Promise<SessionRecord | null> {
    return this.#loaded(await this.#scripts.run(READ, key, '') as [number, Buffer])?.record ?? null
  }

  async create (key: string, record: SessionRecord): Promise<void> {
    const created = await this.#scripts.run(CREATE, key, '', this.#newToken(), this.#scripts.timeToLive(record), kindOf(record),
      String(record.createdAt), String(record.lastAccessedAt), String(record.expiresAt), userOf(record), dataOf(record))
    if (created !== 1) throw new ConflictError('exists already')
  }

  async * entries (): AsyncGenerator<[string, SessionRecord]> {
    for await (const keys of this.#scan()) {
      const answers = await Promise.all(keys.map(async key => await this.#scripts.run(READ, key, '') as [number, Buffer]))
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
      const answers = await Promise.all(keys.map(async key => await this.#scripts.run(SWEEP, key, '', limit, remove ? '1' : '0')))
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
    quietly(() => this.#scripts.run(CANCEL, key, token))
  }

  #newToken (): string {
    return `${this.#process}.${++this.#tokens}`
  }

  /** A ticket keeps its token while it waits, so that asking again does not put it into the list twice. */
  #waitingFor (ticket: Ticket): Waiting {
    const known = this.#waiting.get(ticket)
    if (known !== undefined && known.key === ticket.key) return known
    const waiting = { ticket, key: ticket.key, token: this.#newToken(), granted: null }
    this.#waiting.set(ticket, waiting)
    this.#byToken.set(waiting.token, waiting)
    return waiting
  }

  #forget (waiting: Waiting): void {
    this.#waiting.delete(waiting.ticket)
    this.#byToken.delete(waiting.token)
  }

  async #listen (): Promise<void> {
    this.#subscribing ??= this.#subscribe().finally(() => { this.#subscribing = null })
    await this.#subscribing
  }

  async #subscribe (): Promise<void> {
    if (this.#closed || this.#listening) return
    const channel = this.#scripts.channel + this.#process
    const unsubscribe = await this.#connection.subscribe(channel, (message) => this.#hear(message), () => this.#wakeAll())
    if (this.#closed) return await unsubscribe()
    this.#unsubscribe = unsubscribe
    this.#listening = true
  }

  #hear (message: Buffer): void {
    const end = message.indexOf(10)
    const waiting = this.#byToken.get(message.toString('latin1', 0, end))
    if (waiting === undefined) return
    // Without a record it is too large to send, or there is none any more: then the ticket asks.
    const loaded = end + 1 < message.length ? parseRecord(message.subarray(end + 1)) : null
    if (loaded !== null) waiting.granted = { loaded, at: performance.now() }
    waiting.ticket.wake()
  }

  /** After a reconnect: what was said meanwhile is lost. */
  #wakeAll (): void {
    for (const { ticket } of this.#byToken.values()) ticket.wake()
  }
}

function busy (answer: [number, Buffer, Buffer, Buffer], listening: boolean): Busy {
  const left = Math.max(Number(answer[1]), 0) + 10
  const [, method, route] = /^\d+ (\S+) (.*)$/s.exec(answer[2].toString()) ?? []
  return {
    outcome: 'busy',
    retryAfter: Math.min(left, listening ? LONGEST_POLL : DEAF_POLL),
    holder: () => method === undefined || route === undefined ? null : { method, route, heldFor: Number(answer[3]) }
  }
}
