// Sessions in the memory of one process. They end with it.
import type { Busy, Lease, Moved, PruneOptions, PruneResult, SessionRecord, SessionTimes, Store, StoreContext, Ticket } from '../../types/store.js'
import { ConflictError, LockLostError } from '../errors.js'
import { checkAll, size } from '../options/check.js'

export interface MemoryStoreOptions {
  /** How many sessions are kept; beyond it the one unused for longest goes, but never a locked one. Default 100 000. */
  max?: number
}

interface Entry {
  record: SessionRecord
  /** Rises with each save; a late save is accepted only if it has not. */
  version: number
  holder: MemoryLease | null
  /** Those who were told to wait. */
  waiting: Set<Ticket>
}

const BUSY: Busy = { outcome: 'busy', retryAfter: 1000 }

export class MemoryStore implements Store {
  readonly scope = 'process'
  readonly #max: number
  /** In the order of use, oldest first, to the precision of touchInterval. */
  readonly #entries = new Map<string, Entry>()
  /** Tickets that waited while their session was regenerated. */
  readonly #moved = new WeakMap<Ticket, Moved>()
  #now: () => number = Date.now

  constructor (options: MemoryStoreOptions = {}) {
    checkAll(options, { max: size })
    this.#max = options.max ?? 100_000
  }

  open (context: StoreContext): void {
    this.#now = context.now
  }

  acquire (ticket: Ticket): Lease | Busy | Moved | null {
    const entry = this.#entries.get(ticket.key)
    if (entry === undefined) return this.#moved.get(ticket) ?? null
    if (entry.holder !== null) {
      entry.waiting.add(ticket)
      return BUSY
    }
    entry.waiting.delete(ticket)
    if (this.#hasExpired(entry)) {
      remove(this.#entries, ticket.key, entry)
      return null
    }
    entry.holder = new MemoryLease(this.#entries, this.#moved, ticket.key, entry)
    return entry.holder
  }

  cancel (ticket: Ticket): void {
    this.#entries.get(ticket.key)?.waiting.delete(ticket)
  }

  read (key: string): SessionRecord | null {
    const entry = this.#entries.get(key)
    return entry === undefined || this.#hasExpired(entry) ? null : entry.record
  }

  create (key: string, record: SessionRecord): void {
    if (this.#entries.has(key)) throw new ConflictError('exists already')
    if (this.#entries.size >= this.#max) this.#evict()
    this.#entries.set(key, { record, version: 1, holder: null, waiting: new Set() })
  }

  async * entries (): AsyncGenerator<[string, SessionRecord]> {
    // A list of its own: a session that is used meanwhile moves to the end of the map, and would come again.
    for (const [key, entry] of [...this.#entries]) {
      if (this.#entries.get(key) === entry && !this.#hasExpired(entry)) yield [key, entry.record]
    }
  }

  count (): number {
    let live = 0
    for (const entry of this.#entries.values()) if (!this.#hasExpired(entry)) live++
    return live
  }

  prune ({ idleSince = -Infinity }: PruneOptions = {}): PruneResult {
    let deleted = 0
    for (const [key, entry] of this.#entries) {
      const old = this.#hasExpired(entry) || entry.record.lastAccessedAt < idleSince
      if (entry.holder !== null || !old) continue
      remove(this.#entries, key, entry)
      deleted++
    }
    return { deleted, remaining: this.#entries.size }
  }

  /** Not while somebody holds its lock (S2). */
  #hasExpired (entry: Entry): boolean {
    return entry.holder === null && entry.record.expiresAt <= this.#now()
  }

  #evict (): void {
    for (const [key, entry] of this.#entries) {
      if (entry.holder === null) return remove(this.#entries, key, entry)
    }
  }
}

class MemoryLease implements Lease {
  readonly outcome = 'granted'
  record: SessionRecord
  #version: number

  constructor (
    private readonly entries: Map<string, Entry>,
    private readonly moved: WeakMap<Ticket, Moved>,
    private readonly key: string,
    private readonly entry: Entry
  ) {
    this.record = entry.record
    this.#version = entry.version
  }

  save (record: SessionRecord, options?: { release?: boolean }): void {
    this.#assertMine()
    const used = record.lastAccessedAt !== this.record.lastAccessedAt
    this.record = this.entry.record = record
    this.#version = ++this.entry.version
    if (used) this.#markUsed()
    if (options?.release === true) this.release()
  }

  touch (times: SessionTimes, options?: { release?: boolean }): void {
    this.#assertMine()
    this.record = this.entry.record = { ...this.record, ...times }
    this.#markUsed()
    if (options?.release === true) this.release()
  }

  destroy (options?: { movedTo?: string | null }): void {
    this.#assertMine()
    const movedTo = options?.movedTo
    if (movedTo !== undefined) {
      for (const ticket of this.entry.waiting) this.moved.set(ticket, { outcome: 'moved', movedTo })
    }
    this.entry.holder = null
    remove(this.entries, this.key, this.entry)
  }

  release (): void {
    if (this.entry.holder !== this) return
    this.entry.holder = null
    wakeAll(this.entry)
  }

  lapse (): void {
    this.release()
  }

  /** The last in the order of use. */
  #markUsed (): void {
    this.entries.delete(this.key)
    this.entries.set(this.key, this.entry)
  }

  /** Rule S1: the holder may write; after a lapse also whoever finds the session free and as it was loaded. */
  #assertMine (): void {
    const { entry } = this
    const mine = entry.holder === this || (entry.holder === null && entry.version === this.#version)
    if (!mine || this.entries.get(this.key) !== entry) throw new LockLostError()
  }
}

function remove (entries: Map<string, Entry>, key: string, entry: Entry): void {
  entries.delete(key)
  wakeAll(entry)
}

function wakeAll (entry: Entry): void {
  if (entry.waiting.size === 0) return
  const waiting = [...entry.waiting]
  entry.waiting.clear()
  for (const ticket of waiting) ticket.wake()
}
