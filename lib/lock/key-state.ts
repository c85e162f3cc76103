// What one process knows of one session that is held or waited for in it.
import type { LockHolder } from '../errors.js'
import type { Hold } from './hold.js'
import type { Waiter } from './waiter.js'

export interface KeyState {
  readonly key: string
  hold: Hold | null
  /** In the order of their coming; the first is the head. */
  waiters: Waiter[]
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
const NOBODY: Waiter[] = []

export function addTo (state: KeyState, waiter: Waiter): void {
  // Most queues never get longer than one, and an array that is pushed to takes room for seventeen.
  if (state.waiters.length === 0) state.waiters = [waiter]
  else state.waiters.push(waiter)
}

/** Returns whether it was in the queue. */
export function removeFrom (state: KeyState, waiter: Waiter): boolean {
  const at = state.waiters.indexOf(waiter)
  if (at === -1) return false
  if (state.waiters.length === 1) state.waiters = NOBODY
  else if (at === 0) state.waiters.shift() // Nearly always; splice() takes five times as long.
  else state.waiters.splice(at, 1)
  return true
}

/** Why those who wait for the session do not have it. */
export function obstacleOf ({ hold, waiters: [head] }: KeyState): { holder: LockHolder | null, unanswered: boolean } {
  if (hold !== null) return { holder: { method: hold.method, route: hold.route, heldFor: hold.heldFor }, unanswered: false }
  const busy = head?.busy ?? null
  return { holder: busy?.holder?.() ?? null, unanswered: busy === null }
}
