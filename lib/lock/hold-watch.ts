// Looks after locks that are held for long: names their holders to other processes, and finds those past maxHold.
import type { Hold } from './hold.js'
import type { KeyState } from './key-state.js'

/** How often, in ms. One timer for all locks is cheaper than one for each. */
const INTERVAL = 100

export class HoldWatch {
  readonly #keys: ReadonlyMap<string, KeyState>
  readonly #onOvertime: (state: KeyState, hold: Hold) => void
  #timer: NodeJS.Timeout | undefined

  constructor (keys: ReadonlyMap<string, KeyState>, onOvertime: (state: KeyState, hold: Hold) => void) {
    this.#keys = keys
    this.#onOvertime = onOvertime
  }

  /** Watches until there are no keys. */
  start (): void {
    this.#timer ??= setInterval(() => this.#look(), INTERVAL).unref()
  }

  #look (): void {
    if (this.#keys.size === 0) {
      clearInterval(this.#timer)
      this.#timer = undefined
      return
    }
    const now = performance.now()
    for (const state of this.#keys.values()) {
      const { hold } = state
      if (hold === null) continue
      if (now - hold.since < hold.maxHold) hold.describe()
      else this.#onOvertime(state, hold)
    }
  }
}
