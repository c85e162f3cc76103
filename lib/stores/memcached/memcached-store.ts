// Sessions in memcached 1.6 or later: a lock item and a data item for each, on the same server. No TLS, no SASL.
// memcached forgets: whatever it evicts, and everything when it restarts. It cannot list what it has.
import { randomBytes } from 'node:crypto'
import type { Busy, Lease, Moved, PruneOptions, PruneResult, SessionRecord, Store, StoreContext, Ticket } from '../../../types/store.js'
import { quietly } from '../../awaitable.js'
import { ConflictError, InvalidOptionError, TooLargeError, UnsupportedError } from '../../errors.js'
import { hrtime } from '../../hrtime.js'
import { type Check, checkAll, positiveDuration } from '../../options/check.js'
import { expectStatus } from './expect-status.js'
import { itemKeys } from './item-keys.js'
import { type Locked, MemcachedLease, wallClock } from './memcached-lease.js'
import { MemcachedServer } from './memcached-server.js'
import type { MetaConnection } from './meta-connection.js'
import { get, remove, type Reply, set } from './meta-protocol.js'
import { assertFits, decodeRecord, encodeRecord, HEADER_SIZE, itemTTL } from './record-format.js'
import { parseAddress, ServerRing } from './server-ring.js'
import { decodeLock, encodeLock, isHeld, lockTTL, type LockValue, newLock } from './session-lock.js'
import { Turns } from './turns.js'

export interface MemcachedStoreOptions {
  /** `host:port` of the server, or of several; the port is 11211 if left out. All processes must name the same servers. */
  servers: string | string[]
  /** What the keys of all items begin with, at most 100 visible ASCII characters. Default 'session:'. */
  prefix?: string
  /**
   * How long a process that died keeps its locks at most, in ms, from 2000 to 60 000. A process that stands still for more
   * than a second less may lose them: memcached counts whole seconds. Default 5000.
   */
  lease?: number
  /** How long the server may take to connect and to answer, in ms. Then the request fails with 503. Default 2000. */
  timeout?: number
}

/** Who waits asks again after so many ms: soon at first and when the lock changes hands, less often while it does not. */
const FIRST_PAUSE = 5
const LONGEST_PAUSE = 50
/** How long (s) the mark of one who waits stays; it is renewed each time it asks. */
const MARK_LASTS = 2
/** The longest user that a record of the largest size may have beside its data, in bytes. */
const LONGEST_USER = 64 * 1024

/** memcached counts whole seconds, so a lock that is sure for some time may stay this much longer. In ms. */
const COARSE = 1000

/** What a ticket has seen while it waited. */
interface Wait {
  pause: number
  /** The CAS of the lock that was in the way. */
  holder: string
  /** process.hrtime() in ms when it last asked: the session was still there. */
  askedAt: number
}

export class MemcachedStore implements Store {
  readonly scope = 'network'
  readonly #addresses: string[]
  readonly #prefix: string
  /** For how long a holder is sure of its lock, in ms. */
  readonly #lease: number
  readonly #timeout: number
  #ring: ServerRing<MemcachedServer> | null = null
  #context!: StoreContext
  /** Tells our marks from those of other processes. */
  readonly #id = randomBytes(9).toString('base64url')
  readonly #waits = new WeakMap<Ticket, Wait>()
  readonly #turns = new Turns()

  constructor (options: MemcachedStoreOptions) {
    checkAll(options, { servers, prefix, lease, timeout: positiveDuration })
    if (options.servers === undefined) throw new InvalidOptionError('servers', 'must be given')
    this.#addresses = [options.servers].flat()
    this.#prefix = options.prefix ?? 'session:'
    this.#lease = Math.floor((options.lease ?? 5000) / 1000) * 1000 - COARSE
    this.#timeout = options.timeout ?? 2000
  }

  /** Connects when the first session is asked for, so the application starts although a server is down. */
  open (context: StoreContext): void {
    this.#context = context
    const maxValue = HEADER_SIZE + LONGEST_USER + context.maxRecordSize
    this.#ring = new ServerRing(this.#addresses.map(address => new MemcachedServer(parseAddress(address)!, this.#timeout, maxValue)), this.#addresses)
  }

  async close (): Promise<void> {
    await Promise.all(this.#ring?.servers.map(server => server.close()) ?? [])
  }

  async acquire (ticket: Ticket): Promise<Lease | Busy | Moved | null> {
    const { key } = ticket
    const pause = this.#turns.pause(key)
    if (pause > 0) return { outcome: 'busy', retryAfter: pause }
    const connection = await this.#connect(key)
    const keys = itemKeys(this.#prefix, key)
    const lock = newLock(ticket)
    const since = performance.now()
    const askedAt = hrtime()
    const wait = this.#waits.get(ticket)
    const commands = [
      set(keys.lock, encodeLock(lock), `ME ${this.#lockTTL(ticket)} c`),
      get(keys.lock, 'v c t'),
      get(keys.data, 'v c')
    ]
    if (wait !== undefined) {
      commands.push(get(keys.moved, 'v'), set(keys.wait, JSON.stringify({ id: this.#id, pause: longer(wait.pause) }), `T${MARK_LASTS}`))
    }
    const [added, holder, data, moved] = await connection.exchange(commands) as [Reply, Reply, Reply, Reply?]
    expectStatus(added, 'HD', 'NS')
    const locked = { connection, keys, ticket, lock, since }
    if (added.status === 'HD') return this.#loaded({ ...locked, lockCas: added.cas }, data, moved)
    if (data.status === 'EN') return this.#gone(ticket, moved)
    // Released between two commands of ours.
    if (holder.status === 'EN') return this.#busy(ticket, holder, askedAt)
    this.#turns.taken(key)
    if (isHeld(holder.ttl)) return this.#busy(ticket, holder, askedAt)
    return await this.#takeOver({ ...locked, lockCas: holder.cas }, moved) ?? this.#busy(ticket, holder, askedAt)
  }

  async read (key: string): Promise<SessionRecord | null> {
    const connection = await this.#connect(key)
    const keys = itemKeys(this.#prefix, key)
    const [lock, data] = await connection.exchange([get(keys.lock, 't'), get(keys.data, 'v')]) as [Reply, Reply]
    const record = this.#decode(data)?.record ?? null
    // While somebody holds it, it does not expire (S2).
    const locked = lock.status !== 'EN' && isHeld(lock.ttl)
    return record !== null && !locked && this.#hasExpired(record) ? null : record
  }

  async create (key: string, record: SessionRecord): Promise<void> {
    const connection = await this.#connect(key)
    const { bytes } = encodeRecord(record)
    assertFits(bytes, connection.maxItemSize)
    const [added] = await connection.exchange([set(itemKeys(this.#prefix, key).data, bytes, `ME T${itemTTL(record)}`)])
    expectStatus(added!, 'HD', 'NS')
    if (added!.status === 'NS') throw new ConflictError('exists already')
  }

  /** Always throws: an empty list would be a lie, and who logs out a user everywhere would believe it. */
  async * entries (): AsyncGenerator<[string, SessionRecord]> {
    throw new UnsupportedError('list its sessions')
  }

  /** Always rejects, as entries(). */
  async count (): Promise<number> {
    throw new UnsupportedError('count its sessions')
  }

  /** Does nothing: memcached removes expired items by itself. */
  prune ({ idleSince }: PruneOptions = {}): PruneResult {
    if (idleSince !== undefined) this.#context.log.warn({}, 'memcached cannot list its sessions, so those that are idle were not deleted')
    return { deleted: 0, remaining: 0 }
  }

  async #connect (key: string): Promise<MetaConnection> {
    if (this.#ring === null) throw new Error('the store is not open')
    return await this.#ring.serverOf(key).connection()
  }

  #lockTTL (ticket: Ticket): string {
    return lockTTL(Math.min(this.#lease, ticket.maxHold))
  }

  /** The lock is ours, and this is what came with it. */
  #loaded (locked: Omit<Locked, 'dataCas' | 'stored'>, data: Reply, moved: Reply | undefined): Lease | Moved | null {
    const { connection, keys, ticket, lockCas } = locked
    // Nobody waits for the answer: nobody needs this lock, and the connection keeps the order.
    const forget = (...others: Buffer[]) => quietly(() => connection.exchange([...others, remove(keys.lock, lockCas)]))
    let stored
    try {
      stored = this.#decode(data)
    } catch (error) {
      forget()
      throw error
    }
    if (stored === null) {
      forget()
      return data.status === 'EN' ? this.#gone(ticket, moved) : null
    }
    if (this.#hasExpired(stored.record)) {
      forget(remove(keys.data, data.cas))
      return null
    }
    return new MemcachedLease({
      lease: this.#lease,
      connect: () => this.#connect(ticket.key),
      released: (mark) => this.#released(ticket.key, mark)
    }, { ...locked, dataCas: data.cas, stored })
  }

  /**
   * The lease is over but was not released: its holder has died, or is late. An empty append changes the CAS of the data, so that
   * a save of the late one is refused from now on. null: somebody was quicker.
   */
  async #takeOver (locked: Omit<Locked, 'dataCas' | 'stored'>, moved: Reply | undefined): Promise<Lease | Moved | null> {
    const { connection, keys, ticket, lock } = locked
    const [taken] = await connection.exchange([set(keys.lock, encodeLock(lock), `C${locked.lockCas} ${this.#lockTTL(ticket)} c`)])
    expectStatus(taken!, 'HD', 'EX', 'NF')
    if (taken!.status !== 'HD') return null
    const [appended, data] = await connection.exchange([set(keys.data, '', 'MA'), get(keys.data, 'v c')])
    expectStatus(appended!, 'HD', 'NS')
    return this.#loaded({ ...locked, lockCas: taken!.cas }, data!, moved)
  }

  #busy (ticket: Ticket, holder: Reply, askedAt: number): Busy {
    const before = this.#waits.get(ticket)
    const pause = before === undefined || before.holder !== holder.cas ? FIRST_PAUSE : longer(before.pause)
    this.#waits.set(ticket, { pause, holder: holder.cas, askedAt })
    return { outcome: 'busy', retryAfter: pause, holder: () => describe(decodeLock(holder.value)) }
  }

  /** There is no session. Who has waited for it may learn where it went. */
  #gone (ticket: Ticket, moved: Reply | undefined): Moved | null {
    const wait = this.#waits.get(ticket)
    if (wait === undefined || moved === undefined || moved.value === null) return null
    const { movedTo, at } = JSON.parse(moved.value.toString()) as { movedTo: string | null, at: number }
    // For those who came since we asked last, at most LONGEST_PAUSE ago. Only a packet from each of them could tell for sure;
    // if the clocks of two hosts differ, some of them may be judged wrongly.
    const movedAt = Math.min(hrtime(), Math.max(wait.askedAt, hrtime() - (wallClock() - at)))
    return { outcome: 'moved', movedTo, movedAt }
  }

  /** null: there is none, or it is damaged. Throws TooLargeError. */
  #decode (data: Reply) {
    if (data.status === 'EN') return null
    const { maxRecordSize, log } = this.#context
    if (data.value === null) throw new TooLargeError(data.size, maxRecordSize)
    const stored = decodeRecord(data.value)
    if (stored === null) {
      log.warn({}, 'A stored session is damaged and counts as missing')
      return null
    }
    const size = Buffer.byteLength(stored.record.data)
    if (size > maxRecordSize) throw new TooLargeError(size, maxRecordSize)
    return stored
  }

  #hasExpired (record: SessionRecord): boolean {
    return record.expiresAt <= this.#context.now()
  }

  #released (key: string, mark: Reply): boolean {
    const waiting = mark.value === null ? null : JSON.parse(mark.value.toString()) as { id: string, pause: number }
    const isOther = waiting !== null && waiting.id !== this.#id
    this.#turns.released(key, isOther ? waiting.pause : null)
    return isOther
  }
}

function longer (pause: number): number {
  return Math.min(LONGEST_PAUSE, pause * 1.5)
}

function describe (lock: LockValue | null): { method: string, route: string, heldFor: number } | null {
  return lock === null ? null : { method: lock.method, route: lock.route, heldFor: Math.max(0, Date.now() - lock.since) }
}

const isAddress = (value: unknown): boolean => typeof value === 'string' && parseAddress(value) !== null

const servers: Check = (value) => isAddress(value) || (Array.isArray(value) && value.length > 0 && value.every(isAddress))
  ? null
  : 'must be "host:port" or an array of these'

const prefix: Check = (value) => typeof value === 'string' && /^[\x21-\x7e]{0,100}$/.test(value)
  ? null
  : 'must be a text of at most 100 visible ASCII characters'

const lease: Check = (value) => typeof value === 'number' && value >= 2000 && value <= 60_000
  ? null
  : 'must be a number of milliseconds from 2000 to 60000'
