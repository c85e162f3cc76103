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
 * some of them live long. So it forgets its user, on whom a whole request hangs, as soon as it can. Else a client or a
 * timer made by a handler would keep its request for ever, and the garbage collector had three times as much to do.
 */
export class ChainLink {
  #user: LockUser | null
  #ended = false

  constructor (user: LockUser, readonly outer: ChainLink | undefined) {
    this.#user = user
  }

  /** Nobody asks any more whether something is inside of it. */
  get ended (): boolean { return this.#ended }

  holds (queue: LockQueue, key: string): boolean {
    return this.#user !== null && this.#user.holds(queue, key)
  }

  /** The user gives back what it holds, without waiting for this piece of code, which may run on. */
  letGo (): void {
    this.#user = null
  }

  end (): void {
    this.letGo()
    this.#ended = true
  }
}

const chain = new AsyncLocalStorage<ChainLink>()

/** The innermost piece of code that has not ended. Those that have are skipped: what starts itself again and again would make a longer and longer chain. */
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
