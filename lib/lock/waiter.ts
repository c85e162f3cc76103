// One request that wants the lock of one session: its place in the queue and its ticket at the store.
import type { Busy, Ticket } from '../../types/store.js'
import type { Hold } from './hold.js'
import type { LockQueue } from './lock-queue.js'

export interface LockLimits {
  readonly lockTimeout: number
  readonly maxWaiters: number
  readonly maxHold: number
}

/** Who is named to others as the holder of the lock. */
export interface LockOwner {
  readonly method: string
  readonly route: string
}

export class Waiter implements Ticket {
  /** Changes when the session is regenerated and this waiter follows it. */
  key: string
  readonly owner: LockOwner
  readonly limits: LockLimits
  deadline = Infinity
  /** performance.now() when it began to wait; 0 while it has not had to. */
  waitingSince = 0
  settled = false
  /** Whether the lock was not free; waiting for a slow store alone does not count. */
  wasBusy = false
  /** The store's last answer, for the report of those who give up. */
  busy: Busy | null = null
  #queue: LockQueue
  #resolve!: (hold: Hold | null) => void
  #reject!: (error: unknown) => void

  constructor (queue: LockQueue, key: string, limits: LockLimits, owner: LockOwner) {
    this.#queue = queue
    this.key = key
    this.limits = limits
    this.owner = owner
  }

  get method (): string { return this.owner.method }
  get route (): string { return this.owner.route }

  get maxHold (): number {
    return this.limits.maxHold
  }

  get waited (): number {
    return this.waitingSince === 0 ? 0 : Math.round(performance.now() - this.waitingSince)
  }

  /** Begins to wait. */
  start (): Promise<Hold | null> {
    this.waitingSince = performance.now()
    this.deadline = this.waitingSince + this.limits.lockTimeout
    return new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  resolve (hold: Hold | null): void {
    this.settled = true
    this.#resolve(hold)
  }

  reject (error: unknown): void {
    this.settled = true
    this.#reject(error)
  }

  wake (): void {
    this.#queue.woken(this)
  }
}
