/** What has happened to locks since the start. Durations in ms. */
export interface LockStats {
  /** Locks taken, and given back. Equal when nothing is in flight. */
  acquired: number
  released: number
  /** Locks held, and requests waiting, at this moment. */
  held: number
  waiting: number
  /** How often somebody had to wait, and for how long. */
  waits: number
  waitedTotal: number
  waitedMax: number
  /** Waits that ended without the lock. */
  timeouts: number
  queueFull: number
  cancelled: number
  deadlocks: number
  /** Holders overtaken after maxHold. */
  overtaken: number
}

export function newLockStats (): LockStats {
  return { acquired: 0, released: 0, held: 0, waiting: 0, waits: 0, waitedTotal: 0, waitedMax: 0, timeouts: 0, queueFull: 0, cancelled: 0, deadlocks: 0, overtaken: 0 }
}
