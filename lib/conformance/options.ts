// What the author of a store tells the suites about it, and what the suites give back.
import type { Store, StoreContext } from '../../types/store.js'

export interface ConformanceOptions {
  /**
   * Makes an empty store that shares nothing with those made before, for each case anew. The suites open and close it.
   * `context.now` is the clock that `open()` will be given, too; the suites move it forward by hours.
   */
  createStore (context: StoreContext): Store | Promise<Store>
  /**
   * Another store on the sessions of the given one, as another process would have it. The suites open and close it.
   * Needed when the store's scope is 'host' or 'network': two such stores must keep each other out.
   */
  secondConnection? (store: Store): Store | Promise<Store>
  /** false: the store cannot list its sessions, so `entries()`, `count()` and what `prune()` returns are not tested. Default true. */
  listing?: boolean
  /** Damages a stored session behind the back of the open store, so that its record cannot be read any more. Without it this is not tested. */
  spoil? (store: Store, key: string): void | Promise<void>
}

/** One test. Register it with any runner: `for (const { name, run } of storeConformance(options)) test(name, run)`. */
export interface ConformanceCase {
  readonly name: string
  /** Rejects with an AssertionError when the store does not do what the name says. */
  run (): Promise<void>
}
