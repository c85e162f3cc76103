// What one process knows of one session that is held or waited for in it.
import type { LockHolder } from '../errors.js'
import type { Hold } from './hold.js'
import type { Waiter } from './waiter.js'

export interface KeyState {
  readonly key: string
  hold: Hold | null
  /** In the order of their coming; the first is the head. Most sessions never have any. */
  waiters: Set<Waiter>
  /** The head, while the store has not answered it. */
  asking: Waiter | null
  /** Woken while the store was being asked: ask again. */
  askAgain: boolean
  retry: NodeJS.Timeout | undefined
  /** Hand-overs in a row inside this process, while somebody outside waits or may wait. */
  streak: number
}

export function newState (key: string): KeyState {
  return { key, hold: null, waiters: NOBODY, asking: null, askAgain: false, retry: undefined, streak: 0 }
}

/** Shared by all sessions that nobody waits for; never added to. */
const NOBODY = new Set<Waiter>()

export function addTo (state: KeyState, waiter: Waiter): void {
  if (state.waiters === NOBODY) state.waiters = new Set()
  state.waiters.add(waiter)
}

export function first (waiters: Set<Waiter>): Waiter | undefined {
  return waiters.values().next().value
}

export function holderOf (state: KeyState): LockHolder | null {
  if (state.hold !== null) return { method: state.hold.method, route: state.hold.route, heldFor: state.hold.heldFor }
  return first(state.waiters)?.busy?.holder?.() ?? null
}
