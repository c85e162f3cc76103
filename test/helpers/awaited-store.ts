// A store whose every answer comes later, as over a network: each call waits before and after the real one.
import type { Busy, Lease, Moved, PruneOptions, PruneResult, SessionRecord, SessionTimes, Store, StoreContext, Ticket } from '../../lib/index.js'

export type StoreCall = 'acquire' | 'cancel' | 'read' | 'create' | 'save' | 'touch' | 'destroy' | 'release'

/** Waits as long as it likes; when it throws, the call fails. */
export type Around = (call: StoreCall, side: 'before' | 'after') => Promise<unknown>

export class AwaitedStore implements Store {
  readonly scope
  readonly #inner: Store
  readonly #around: Around

  constructor (inner: Store, around: Around) {
    this.#inner = inner
    this.#around = around
    this.scope = inner.scope
  }

  async open (context: StoreContext): Promise<void> { await this.#inner.open?.(context) }
  async close (): Promise<void> { await this.#inner.close?.() }

  async acquire (ticket: Ticket): Promise<Lease | Busy | Moved | null> {
    const answer = await this.#late('acquire', () => this.#inner.acquire(ticket))
    return answer?.outcome === 'granted' ? new AwaitedLease(answer, (call, run) => this.#late(call, run)) : answer
  }

  async cancel (ticket: Ticket): Promise<void> {
    await this.#late('cancel', () => this.#inner.cancel?.(ticket))
  }

  async read (key: string): Promise<SessionRecord | null> {
    return await this.#late('read', () => this.#inner.read(key))
  }

  async create (key: string, record: SessionRecord): Promise<void> {
    await this.#late('create', () => this.#inner.create(key, record))
  }

  entries (): AsyncIterable<[string, SessionRecord]> { return this.#inner.entries() }
  async count (): Promise<number> { return await this.#inner.count() }
  async prune (options?: PruneOptions): Promise<PruneResult> { return await this.#inner.prune(options) }

  async #late<T> (call: StoreCall, run: () => T | Promise<T>): Promise<T> {
    await this.#around(call, 'before')
    const result = await run()
    await this.#around(call, 'after')
    return result
  }
}

type Late = <T>(call: StoreCall, run: () => T | Promise<T>) => Promise<T>

class AwaitedLease implements Lease {
  readonly outcome = 'granted'

  constructor (private readonly inner: Lease, private readonly late: Late) {}

  get record (): SessionRecord { return this.inner.record }
  get contended (): boolean { return this.inner.contended === true }

  async save (record: SessionRecord, options?: { release?: boolean }): Promise<void> {
    await this.late('save', () => this.inner.save(record, options))
  }

  async touch (times: SessionTimes, options?: { release?: boolean }): Promise<void> {
    await this.late('touch', () => this.inner.touch(times, options))
  }

  async destroy (options?: { movedTo?: string | null }): Promise<void> {
    await this.late('destroy', () => this.inner.destroy(options))
  }

  async release (): Promise<void> {
    await this.late('release', () => this.inner.release())
  }

  lapse (): void { this.inner.lapse() }
  describe (): void { this.inner.describe?.() }
}

/** Small random delays: none, a turn of the event loop, or a few ms. */
export function smallDelays (random: () => number): Around {
  return () => new Promise(resolve => {
    const dice = random()
    if (dice < 0.2) resolve(undefined)
    else if (dice < 0.6) setImmediate(resolve)
    else setTimeout(resolve, dice * 3)
  })
}
