// The store under test with somebody beside it who counts the calls and can make them slow or fail.
import type { Busy, Lease, Moved, PruneOptions, PruneResult, SessionRecord, SessionTimes, Store, StoreContext, Ticket } from '../../../types/store.js'
import { type Awaitable, chain, isPromise } from '../../awaitable.js'

export type StoreCall = 'acquire' | 'cancel' | 'read' | 'create' | 'entries' | 'count' | 'prune' | 'save' | 'touch' | 'destroy' | 'release'

export class WatchedStore implements Store {
  readonly scope
  /** Since the last forget(). */
  calls: StoreCall[] = []
  /** Whatever key and record the store has ever been given. */
  readonly keys = new Set<string>()
  readonly records: SessionRecord[] = []
  readonly leases: WatchedLease[] = []
  readonly moved: Moved[] = []
  /** How often somebody has been told to wait. */
  busy = 0
  /** What prune() has answered. */
  readonly pruned: PruneResult[] = []
  closed = false
  /** Whether it has ever answered with a promise. */
  isAsync = false
  /** Runs before each call. What it throws the store throws; what it returns the store waits for. */
  before: (call: StoreCall, key: string) => unknown = () => {}

  constructor (readonly inner: Store) {
    this.scope = inner.scope
  }

  times (call: StoreCall): number {
    return this.calls.filter(other => other === call).length
  }

  forget (): void {
    this.calls = []
  }

  open (context: StoreContext) { return this.inner.open?.(context) }
  close () {
    this.closed = true
    return this.inner.close?.()
  }

  acquire (ticket: Ticket) {
    return this.watch('acquire', ticket.key, () => chain(this.inner.acquire(ticket), (answer): Lease | Busy | Moved | null => {
      if (answer?.outcome === 'moved') this.moved.push(answer)
      if (answer?.outcome === 'busy') this.busy++
      if (answer?.outcome !== 'granted') return answer
      const lease = new WatchedLease(this, ticket.key, answer)
      this.leases.push(lease)
      return lease
    }))
  }

  cancel (ticket: Ticket) { return this.watch('cancel', ticket.key, () => this.inner.cancel?.(ticket)) }
  read (key: string) { return this.watch('read', key, () => this.inner.read(key)) }

  create (key: string, record: SessionRecord) {
    this.records.push(record)
    return this.watch('create', key, () => this.inner.create(key, record))
  }

  entries () {
    this.calls.push('entries')
    return this.inner.entries()
  }

  count () { return this.watch('count', null, () => this.inner.count()) }
  prune (options?: PruneOptions) {
    return this.watch('prune', null, () => chain(this.inner.prune(options), (result) => {
      this.pruned.push(result)
      return result
    }))
  }

  /** For WatchedLease. */
  watch<T> (call: StoreCall, key: string | null, run: () => Awaitable<T>): Awaitable<T> {
    this.calls.push(call)
    if (key !== null) this.keys.add(key)
    return chain(this.before(call, key ?? '') as Awaitable<unknown>, () => {
      const answer = run()
      this.isAsync ||= isPromise(answer)
      return answer
    })
  }
}

export class WatchedLease implements Lease {
  readonly outcome = 'granted'
  /** How often the lease was ended; a second release() does no harm, but it should not be needed. */
  ends = 0
  lapsed = false

  constructor (private readonly store: WatchedStore, private readonly key: string, private readonly inner: Lease) {}

  get record (): SessionRecord { return this.inner.record }
  get contended (): boolean { return this.inner.contended === true }

  save (record: SessionRecord, options?: { release?: boolean }) {
    this.store.records.push(record)
    return this.store.watch('save', this.key, () => chain(this.inner.save(record, options), () => this.#ended(options?.release)))
  }

  touch (times: SessionTimes, options?: { release?: boolean }) {
    return this.store.watch('touch', this.key, () => chain(this.inner.touch(times, options), () => this.#ended(options?.release)))
  }

  destroy (options?: { movedTo?: string | null }) {
    return this.store.watch('destroy', this.key, () => chain(this.inner.destroy(options), () => this.#ended(true)))
  }

  release () {
    return this.store.watch('release', this.key, () => chain(this.inner.release(), () => this.#ended(true)))
  }

  lapse (): void {
    this.lapsed = true
    this.inner.lapse()
  }

  describe (): void { this.inner.describe?.() }

  #ended (ends: boolean | undefined): void {
    if (ends === true) this.ends++
  }
}
