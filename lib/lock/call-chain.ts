// Knows which locks the current call chain holds. A lock is re-entrant by call chain, not by request: a call
// nested in a locked section may enter, its sibling may not. And whoever waits for a lock that its own chain
// holds would wait for ever. An AsyncLocalStorage follows the chain across awaits.
import { AsyncLocalStorage } from 'node:async_hooks'
import type { LockQueue } from './lock-queue.js'

/** Who may hold locks while a piece of user code runs. */
export interface LockUser {
  holds (queue: LockQueue, key: string): boolean
}

/**
 * One piece of user code in a call chain. Node keeps it with every promise, timer and write that the code begins, and
 * some of them live long. So at its end it forgets its user, on whom a whole request hangs: a client or a timer made by a
 * handler would keep its request for ever, and without that it still tripled the time of garbage collection.
 */
export class ChainLink {
  #user: LockUser | null

  constructor (user: LockUser, readonly outer: ChainLink | undefined) {
    this.#user = user
  }

  get ended (): boolean { return this.#user === null }

  holds (queue: LockQueue, key: string): boolean {
    return this.#user !== null && this.#user.holds(queue, key)
  }

  /** The user holds nothing more on behalf of this piece of code, or gives it back without waiting for the code. */
  end (): void {
    this.#user = null
  }
}

const chain = new AsyncLocalStorage<ChainLink>()

/** The innermost piece of code that has not ended; skipping the others, or code that starts itself again would make a chain without end. */
export function currentLink (): ChainLink | undefined {
  let at = chain.getStore()
  while (at?.ended === true) at = at.outer
  return at
}

export function isInside (link: ChainLink): boolean {
  for (let at = chain.getStore(); at !== undefined; at = at.outer) {
    if (at === link) return true
  }
  return false
}

export function isHeldByCaller (queue: LockQueue, key: string): boolean {
  for (let at = chain.getStore(); at !== undefined; at = at.outer) {
    if (at.holds(queue, key)) return true
  }
  return false
}

export function runInside<T> (link: ChainLink, fn: () => T): T {
  return chain.run(link, fn)
}

export { chain as callChain }
