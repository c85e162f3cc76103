// A lock that is held: the store's lease, and the place it takes in the queue of this process.
import type { Lease, SessionRecord, SessionTimes } from '../../types/store.js'
import { type Awaitable, chain, isPromise } from '../awaitable.js'
import type { KeyState } from './key-state.js'
import type { LockQueue } from './lock-queue.js'
import type { Waiter } from './waiter.js'

const RELEASE = { release: true }

export class Hold {
  readonly since = performance.now()
  #ended = false
  #lapsed = false
  #described = false

  constructor (
    private readonly queue: LockQueue,
    private readonly state: KeyState,
    private readonly lease: Lease,
    private readonly waiter: Waiter
  ) {}

  get key (): string { return this.state.key }
  get method (): string { return this.waiter.method }
  get route (): string { return this.waiter.route }
  get maxHold (): number { return this.waiter.maxHold }
  get record (): SessionRecord { return this.lease.record }
  get contended (): boolean { return this.lease.contended === true }
  get heldFor (): number { return Math.round(performance.now() - this.since) }

  /** Whether the lock is still ours alone. */
  get isHeld (): boolean { return !this.#ended && !this.#lapsed }

  isOf (queue: LockQueue, key: string): boolean {
    return this.queue === queue && this.state.key === key && this.isHeld
  }

  save (record: SessionRecord, release: boolean): Awaitable<void> {
    if (release && this.#hasNext) return chain(this.lease.save(record), () => this.release())
    return release ? this.#endAfter(this.lease.save(record, RELEASE)) : this.lease.save(record)
  }

  touch (times: SessionTimes, release: boolean): Awaitable<void> {
    if (release && this.#hasNext) return chain(this.lease.touch(times), () => this.release())
    return release ? this.#endAfter(this.lease.touch(times, RELEASE)) : this.lease.touch(times)
  }

  /** Deletes the session. Those who wait follow to `movedTo`, are refused when it is null, else find nothing. */
  destroy (movedTo?: string | null): Awaitable<void> {
    const done = () => {
      if (movedTo !== undefined) this.queue.redirect(this.state, movedTo)
      this.#end()
    }
    const deleted = this.lease.destroy(movedTo === undefined ? undefined : { movedTo })
    return isPromise(deleted) ? deleted.then(done) : done()
  }

  /** Idempotent. A store that cannot be reached frees the lock by itself, so its failure here is not ours to report. */
  release (): Awaitable<void> {
    if (this.#ended) return
    if (this.#hasNext && this.queue.passOn(this.state, this.lease)) {
      this.#ended = true
      return
    }
    const end = () => this.#end()
    let released
    try {
      released = this.lease.release()
    } catch {}
    return isPromise(released) ? released.then(end, end) : end()
  }

  /** Lets others in: the holder took longer than maxHold. Its own save is checked by the store from now on. */
  lapse (): void {
    this.#lapsed = true
    this.lease.lapse()
  }

  /** Tells other processes what holds the lock, once. */
  describe (): void {
    if (this.#described) return
    this.#described = true
    this.lease.describe?.()
  }

  /** Whether somebody of this process may go on with the lease. */
  get #hasNext (): boolean {
    return this.lease.pass !== undefined && this.isHeld && this.queue.mayPassOn(this.state)
  }

  #endAfter (result: Awaitable<void>): Awaitable<void> {
    return isPromise(result) ? result.then(() => this.#end()) : this.#end()
  }

  #end (): void {
    if (this.#ended) return
    this.#ended = true
    if (!this.#lapsed) this.queue.released(this.state, this)
  }
}
