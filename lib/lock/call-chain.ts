// Knows which locks the current call chain holds. A lock is re-entrant by call chain, not by request: a call
// nested in a locked section may enter, its sibling may not. And whoever waits for a lock that its own chain
// holds would wait for ever. An AsyncLocalStorage follows the chain across awaits.
import { AsyncLocalStorage } from 'node:async_hooks'
import type { LockQueue } from './lock-queue.js'

/** Something that may hold locks while a piece of user code runs. */
export interface ChainLink {
  readonly outer: ChainLink | undefined
  holds (queue: LockQueue, key: string): boolean
}

const chain = new AsyncLocalStorage<ChainLink>()

export function currentLink (): ChainLink | undefined {
  return chain.getStore()
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
