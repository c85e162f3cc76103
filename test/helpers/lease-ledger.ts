// A store that keeps the books on another one: which leases are out, and what was written.
import type { Busy, Lease, Moved, PruneOptions, PruneResult, SessionRecord, SessionTimes, Store, StoreContext, Ticket } from '../../lib/index.js'
import type { StoreCall } from './awaited-store.js'

export class LeaseLedger implements Store {
  readonly scope
  granted = 0
  ended = 0
  /** Leases that were ended although they had ended already. */
  endedTwice = 0
  /** Leases granted while another one of the same session was out. */
  overlaps = 0
  /** Writes that came when the store was closed already. */
  writtenAfterClose = 0
  /** Called before the store is; when it throws, the call fails at once. */
  onCall: (call: StoreCall) => void = () => {}
  /** Called for every write that the store has accepted. */
  onWritten: (key: string, record: SessionRecord) => void = () => {}
  /** Called when a session has left its key. */
  onDestroyed: (key: string, movedTo: string | null | undefined) => void = () => {}
  readonly #inner: Store
  #closed = false
  readonly #out = new Map<string, number>()

  constructor (inner: Store) {
    this.#inner = inner
    this.scope = inner.scope
  }

  /** How many leases are out. */
  get out (): number { return this.granted - this.ended }

  open (context: StoreContext) { return this.#inner.open?.(context) }
  close () {
    this.#closed = true
    return this.#inner.close?.()
  }

  acquire (ticket: Ticket) {
    const { key } = ticket
    this.onCall('acquire')
    return after(this.#inner.acquire(ticket), (answer: Lease | Busy | Moved | null) => {
      return answer?.outcome === 'granted' ? this.#entered(key, answer) : answer
    })
  }

  cancel (ticket: Ticket) { return this.#inner.cancel?.(ticket) }
  read (key: string) { return this.#inner.read(key) }

  create (key: string, record: SessionRecord) {
    this.onCall('create')
    return after(this.#inner.create(key, record), () => this.written(key, record))
  }

  entries () { return this.#inner.entries() }
  count () { return this.#inner.count() }
  prune (options?: PruneOptions) { return this.#inner.prune(options) as PruneResult | Promise<PruneResult> }

  #entered (key: string, lease: Lease): Lease {
    this.granted++
    const out = this.#out.get(key) ?? 0
    if (out > 0) this.overlaps++
    this.#out.set(key, out + 1)
    return new LedgerLease(this, key, lease)
  }

  /** For LedgerLease. */
  written (key: string, record: SessionRecord): void {
    if (this.#closed) this.writtenAfterClose++
    this.onWritten(key, record)
  }

  /** For LedgerLease. */
  left (key: string): void {
    this.ended++
    this.#out.set(key, (this.#out.get(key) ?? 0) - 1)
  }

  /** For LedgerLease. */
  cameBack (key: string): void {
    this.ended--
    this.#out.set(key, (this.#out.get(key) ?? 0) + 1)
  }
}

class LedgerLease implements Lease {
  readonly outcome = 'granted'
  #ended = false
  #lapsed = false

  constructor (private readonly ledger: LeaseLedger, private readonly key: string, private readonly inner: Lease) {}

  get record (): SessionRecord { return this.inner.record }
  get contended (): boolean { return this.inner.contended === true }

  save (record: SessionRecord, options?: { release?: boolean }) {
    const save = () => {
      this.ledger.onCall('save')
      return after(this.inner.save(record, options), () => this.ledger.written(this.key, record))
    }
    return options?.release === true ? this.#ending(save) : save()
  }

  touch (times: SessionTimes, options?: { release?: boolean }) {
    const touch = () => {
      this.ledger.onCall('touch')
      return this.inner.touch(times, options)
    }
    return options?.release === true ? this.#ending(touch) : touch()
  }

  destroy (options?: { movedTo?: string | null }) {
    return this.#ending(() => after(this.inner.destroy(options), () => this.ledger.onDestroyed(this.key, options?.movedTo)))
  }

  release () {
    return this.#ending(() => this.inner.release())
  }

  lapse (): void {
    this.inner.lapse()
    this.#lapsed = true
    if (!this.#ended) this.ledger.left(this.key)
  }

  describe (): void { this.inner.describe?.() }

  /** The holder gives the lease away when it makes the call, and has it back when the call fails. */
  #ending (call: () => void | Promise<void>): void | Promise<void> {
    this.#end(1)
    const failed = (error: unknown) => {
      this.#end(-1)
      throw error
    }
    let result
    try {
      result = call()
    } catch (error) {
      return failed(error)
    }
    return result instanceof Promise ? result.catch(failed) : result
  }

  #end (step: 1 | -1): void {
    if (step === 1 && this.#ended) this.ledger.endedTwice++
    this.#ended = step === 1
    // A holder that was overtaken does not know it, and ends its lease in its own time.
    if (this.#lapsed) return
    if (step === 1) this.ledger.left(this.key)
    else this.ledger.cameBack(this.key)
  }
}

/** As the real store does: at once, or later. */
function after<T, R> (value: T | Promise<T>, then: (value: T) => R): R | Promise<R> {
  return value instanceof Promise ? value.then(then) : then(value)
}
