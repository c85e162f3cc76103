// One timer for the earliest of many deadlines. Most who wait are served long before theirs, so a timer for each would
// be made in vain.

/** setTimeout counts in 32 bits. */
const MAX_DELAY = 2 ** 31 - 1

export class DeadlineTimer {
  readonly #onDue: (now: number) => void
  #earliest = Infinity
  #timer: NodeJS.Timeout | undefined

  /** `onDue` looks which deadlines have come and calls `watch` for the others. */
  constructor (onDue: (now: number) => void) {
    this.#onDue = onDue
  }

  /** Calls `onDue` at this deadline, on the clock of performance.now(), or at an earlier one. */
  watch (deadline: number): void {
    if (deadline >= this.#earliest) return
    clearTimeout(this.#timer)
    this.#earliest = deadline
    const delay = Math.min(Math.max(deadline - performance.now(), 1), MAX_DELAY)
    this.#timer = setTimeout(() => {
      this.#earliest = Infinity
      // Timers may fire a fraction of a millisecond early.
      this.#onDue(performance.now() + 1)
    }, delay).unref()
  }
}
