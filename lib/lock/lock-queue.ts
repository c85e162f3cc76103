// Waiting is done here, once, for every store: a first-come-first-served queue for each session in this process.
// Only its head talks to the store, so a process never asks for one session more than once at a time.
import type { Busy, Lease, Moved, Store } from '../../types/store.js'
import { type Awaitable, chain, isPromise, quietly } from '../awaitable.js'
import { ConflictError, DeadlockError, LockQueueFullError, LockTimeoutError, storeError } from '../errors.js'
import { hrtime } from '../hrtime.js'
import { isHeldByCaller } from './call-chain.js'
import { DeadlineTimer } from './deadline-timer.js'
import { Hold } from './hold.js'
import { HoldWatch } from './hold-watch.js'
import { addTo, type KeyState, newState, obstacleOf, removeFrom } from './key-state.js'
import { type LockStats, newLockStats } from './lock-stats.js'
import { type LockLimits, type LockOwner, Waiter } from './waiter.js'

type Answer = Lease | Busy | Moved | null

/** After this many hand-overs in a row inside this process, others who wait, or may wait, get a turn (L7). */
const MAX_STREAK = 4
/** For how long this process steps back then, in ms. Another process takes the lock within a fraction of it. */
const STEP_BACK = 5

/** Passed to those whose wait was cancelled; never shown to anybody. */
export const WAIT_CANCELLED = new Error('The wait for the session lock was cancelled')

export class LockQueue {
  readonly #store: Store
  readonly #keys = new Map<string, KeyState>()
  readonly #stats = newLockStats()
  readonly #onOvertaken: (hold: Hold) => void
  readonly #deadlines = new DeadlineTimer((now) => this.#endWaits(now))
  readonly #watch = new HoldWatch(this.#keys, (state, hold) => this.#overtake(state, hold))

  constructor (store: Store, onOvertaken: (hold: Hold) => void) {
    this.#store = store
    this.#onOvertaken = onOvertaken
  }

  waiter (key: string, limits: LockLimits, owner: LockOwner): Waiter {
    return new Waiter(this, key, limits, owner)
  }

  /**
   * Locks and loads. Answers at once when the lock is free and the store is quick; null: no such session.
   * Throws or rejects with `FST_SESSION_LOCK_TIMEOUT`, `…_LOCK_QUEUE_FULL`, `…_DEADLOCK`, `…_CONFLICT` or `…_STORE_UNAVAILABLE`.
   */
  acquire (waiter: Waiter): Awaitable<Hold | null> {
    const state = this.#keys.get(waiter.key)
    if (state !== undefined) return this.#waitIn(state, waiter)
    let answer
    try {
      answer = this.#store.acquire(waiter)
    } catch (error) {
      throw storeError(error)
    }
    if (answer === null) return null
    const fresh = newState(waiter.key)
    if (!isPromise(answer) && answer.outcome === 'granted') {
      this.#keys.set(fresh.key, fresh)
      return this.#grant(fresh, waiter, answer)
    }
    this.#keys.set(fresh.key, fresh)
    const waiting = this.#enqueue(fresh, waiter)
    if (this.#take(fresh, waiter, answer)) this.#advance(fresh)
    return waiting
  }

  /** Takes the lock only if it is free in this process and at the store; else, and when there is no such session, null. */
  tryAcquire (waiter: Waiter): Awaitable<Hold | null> {
    if (this.#keys.has(waiter.key)) return null
    const accept = (answer: Answer): Hold | null => {
      if (answer?.outcome === 'granted') {
        const state = newState(waiter.key)
        // Somebody of this process may have begun to wait meanwhile; then the lease is not worth the trouble.
        if (!this.#keys.has(waiter.key)) {
          this.#keys.set(waiter.key, state)
          return this.#grant(state, waiter, answer)
        }
        quietly(() => answer.release())
      } else if (answer?.outcome === 'busy') {
        quietly(() => this.#store.cancel?.(waiter))
      }
      return null
    }
    const failed = (error: unknown): never => { throw storeError(error) }
    let answer
    try {
      answer = this.#store.acquire(waiter)
    } catch (error) {
      return failed(error)
    }
    return chain(answer, accept, failed)
  }

  /** Takes a waiter out of the queue; its promise rejects with WAIT_CANCELLED. Does nothing to one that is settled. */
  cancel (waiter: Waiter): void {
    if (waiter.settled || waiter.waitingSince === 0) return
    this.#stats.cancelled++
    this.#giveUp(waiter, WAIT_CANCELLED)
  }

  stats (): LockStats {
    let held = 0
    let waiting = 0
    for (const state of this.#keys.values()) {
      if (state.hold !== null) held++
      waiting += state.waiters.length
    }
    return { ...this.#stats, held, waiting }
  }

  /** The store says that asking again may help. */
  woken (waiter: Waiter): void {
    const state = this.#keys.get(waiter.key)
    if (state === undefined || state.hold !== null) return
    if (state.asking === waiter) state.askAgain = true
    else if (state.waiters[0] === waiter) this.#advance(state)
  }

  /** Whether the next of this process may have the lock before others get a turn (L7). */
  mayPassOn (state: KeyState): boolean {
    return state.waiters.length > 0 && state.streak < MAX_STREAK
  }

  /** Lets the next of this process go on with the lease of the last holder. Returns whether it could. */
  passOn (state: KeyState, lease: Lease): boolean {
    const next = state.waiters[0]!
    const keepsOut = lease.uncontended !== true
    const passed = lease.pass!(next)
    if (passed === null) return false
    state.streak = keepsOut ? state.streak + 1 : 0
    removeFrom(state, next)
    this.#stats.released++
    next.resolve(this.#grant(state, next, passed))
    return true
  }

  released (state: KeyState, hold: Hold): void {
    this.#stats.released++
    state.hold = null
    if (state.waiters.length === 0) {
      this.#keys.delete(state.key)
    } else if (hold.contended && ++state.streak >= MAX_STREAK) {
      state.streak = 0
      this.#askLater(state, STEP_BACK)
    } else {
      if (!hold.contended) state.streak = 0
      this.#advance(state)
    }
  }

  /** Sends all who wait for a session that was regenerated after it, or refuses them. Who came after that stays. */
  redirect (state: KeyState, movedTo: string | null, movedAt = Infinity): void {
    const latest = movedAt - hrtime() + performance.now()
    for (const waiter of [...state.waiters]) {
      if (waiter.waitingSince > latest) continue
      removeFrom(state, waiter)
      this.#follow(waiter, movedTo)
    }
  }

  #waitIn (state: KeyState, waiter: Waiter): Promise<Hold | null> {
    if (isHeldByCaller(this, state.key)) {
      this.#stats.deadlocks++
      throw new DeadlockError()
    }
    if (state.waiters.length >= waiter.limits.maxWaiters) {
      this.#stats.queueFull++
      throw new LockQueueFullError({ place: state.waiters.length + 1, ...obstacleOf(state) })
    }
    waiter.wasBusy = true
    return this.#enqueue(state, waiter)
  }

  #enqueue (state: KeyState, waiter: Waiter): Promise<Hold | null> {
    addTo(state, waiter)
    const waiting = waiter.start()
    this.#deadlines.watch(waiter.deadline)
    return waiting
  }

  #endWaits (now: number): void {
    for (const waiter of [...this.#keys.values()].flatMap(state => state.waiters)) {
      if (waiter.deadline <= now) this.#timeOut(waiter)
      else this.#deadlines.watch(waiter.deadline)
    }
  }

  #timeOut (waiter: Waiter): void {
    if (waiter.settled) return
    this.#stats.timeouts++
    // Before the time of the holder, who came earlier: then the two numbers fit together.
    const { waited } = waiter
    const state = this.#keys.get(waiter.key)!
    this.#giveUp(waiter, new LockTimeoutError({ waited, place: state.waiters.indexOf(waiter) + 1, ...obstacleOf(state) }))
  }

  #giveUp (waiter: Waiter, reason: Error): void {
    waiter.reject(reason)
    const state = this.#keys.get(waiter.key)
    if (state === undefined || !removeFrom(state, waiter)) return
    if (waiter.busy !== null) quietly(() => this.#store.cancel?.(waiter))
    // While the store is being asked, #take deals with whatever it says.
    if (state.asking !== waiter) this.#advance(state)
  }

  /** Asks the store on behalf of the head, and of the next when that one is done with, until one has to wait. */
  #advance (state: KeyState): void {
    while (state.hold === null && state.asking === null) {
      clearTimeout(state.retry)
      const head = state.waiters[0]
      if (head === undefined) {
        this.#keys.delete(state.key)
        return
      }
      let answer
      try {
        answer = this.#store.acquire(head)
      } catch (error) {
        this.#failed(state, head, error)
        continue
      }
      if (!this.#take(state, head, answer)) return
    }
  }

  /** Deals with the store's answer to the head. Returns whether to ask again at once, for it or for the next. */
  #take (state: KeyState, head: Waiter, answer: Awaitable<Answer>): boolean {
    if (isPromise(answer)) {
      state.asking = head
      state.askAgain = false
      answer.then((value) => {
        state.asking = null
        if (this.#take(state, head, value)) this.#advance(state)
      }, (error) => {
        state.asking = null
        this.#failed(state, head, error)
        this.#advance(state)
      })
      return false
    }
    if (answer?.outcome === 'moved') {
      // Only the head is known to the store, which has seen it wait. Those behind it have waited, too, if they came in time.
      if (removeFrom(state, head)) this.#follow(head, answer.movedTo)
      this.redirect(state, answer.movedTo, answer.movedAt)
      return true
    }
    if (head.settled) { // It gave up while the store was thinking.
      if (answer?.outcome === 'granted') quietly(() => answer.release())
      else if (answer?.outcome === 'busy') quietly(() => this.#store.cancel?.(head))
      return true
    }
    if (answer?.outcome === 'busy') {
      head.busy = answer
      head.wasBusy = true
      state.streak = 0
      if (state.askAgain) return true
      this.#askLater(state, answer.retryAfter)
      return false
    }
    removeFrom(state, head)
    if (answer?.outcome === 'granted') {
      head.resolve(this.#grant(state, head, answer))
      return false
    }
    head.resolve(null)
    return true
  }

  #failed (state: KeyState, head: Waiter, error: unknown): void {
    removeFrom(state, head)
    if (!head.settled) head.reject(storeError(error))
  }

  #askLater (state: KeyState, delay: number): void {
    clearTimeout(state.retry)
    state.retry = setTimeout(() => this.#advance(state), delay)
  }

  #grant (state: KeyState, waiter: Waiter, lease: Lease): Hold {
    clearTimeout(state.retry)
    const hold = new Hold(this, state, lease, waiter)
    state.hold = hold
    this.#stats.acquired++
    if (waiter.wasBusy) {
      const waited = hold.since - waiter.waitingSince
      this.#stats.waits++
      this.#stats.waitedTotal += waited
      if (waited > this.#stats.waitedMax) this.#stats.waitedMax = waited
    }
    this.#watch.start()
    return hold
  }

  #follow (waiter: Waiter, movedTo: string | null): void {
    if (movedTo === null) {
      waiter.reject(new ConflictError('was regenerated'))
      if (waiter.busy !== null) quietly(() => this.#store.cancel?.(waiter))
      return
    }
    waiter.key = movedTo
    let state = this.#keys.get(movedTo)
    if (state === undefined) {
      state = newState(movedTo)
      this.#keys.set(movedTo, state)
    }
    addTo(state, waiter)
    this.#advance(state)
  }

  /** Held longer than maxHold: others get their turn. */
  #overtake (state: KeyState, hold: Hold): void {
    this.#stats.overtaken++
    this.#stats.released++
    hold.lapse()
    state.hold = null
    this.#onOvertaken(hold)
    this.#advance(state)
  }
}
