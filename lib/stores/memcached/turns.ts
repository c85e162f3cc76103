// Processes take turns (L7). Who waits in another process asks only now and then, so a process that hands the lock over
// inside itself would be quicker for ever. After a few grants in a row it leaves the lock alone until the other has asked.

/** So many grants in a row while others wait. */
const MAX_STREAK = 4
/** For the way to the server and back, in ms. */
const MARGIN = 5
/** More sessions than this are not fought for at once; it bounds the memory. */
const MAX_KEYS = 10_000

export class Turns {
  readonly #streaks = new Map<string, { grants: number, until: number }>()

  /** `othersAskIn`: how long (ms) those who wait outside this process may take until they ask; null: nobody waits. */
  released (key: string, othersAskIn: number | null): void {
    if (othersAskIn === null) return this.taken(key)
    const streak = this.#streaks.get(key) ?? { grants: 0, until: 0 }
    if (++streak.grants >= MAX_STREAK) {
      streak.grants = 0
      streak.until = performance.now() + othersAskIn + MARGIN
    }
    if (this.#streaks.size >= MAX_KEYS) this.#streaks.clear()
    this.#streaks.set(key, streak)
  }

  /** Somebody else has the lock, so it was their turn. */
  taken (key: string): void {
    this.#streaks.delete(key)
  }

  /** For how long this process has to stay away, in ms. */
  pause (key: string): number {
    const streak = this.#streaks.get(key)
    return streak === undefined ? 0 : Math.max(0, streak.until - performance.now())
  }
}
