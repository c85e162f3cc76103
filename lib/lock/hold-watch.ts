// Looks after locks that are held for long: names their holders to other processes, and finds those past maxHold.
import type { Hold } from './hold.js'
import type { KeyState } from './key-state.js'

/** How often, in ms. One timer for all locks is cheaper than one for each. */
const INTERVAL = 100
/** Who holds a lock for this long is named to other processes, in ms. On a network that is one more round trip. */
const LONG = 500

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
      const held = now - hold.since
      if (held >= hold.maxHold) this.#onOvertime(state, hold)
      else if (held >= LONG) hold.describe()
    }
  }
}
