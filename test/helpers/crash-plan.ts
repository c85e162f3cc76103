// Ends the process at a chosen file operation, as a crash does: no code runs after it.
import type { FileStore } from '../../lib/stores/file/index.js'
import { type Call, interceptStore, type Operation, writeHalf } from './faulty-io.js'

export interface Crash {
  moment: 'before' | 'after' | 'half-way'
  /** At which operation, counted from 1. */
  n: number
  /** Only these count; without it all do. */
  of?: Operation[]
}

export class CrashPlan {
  #crash: Crash | null = null
  #count = 0

  constructor (store: FileStore) {
    interceptStore(store, (call) => this.#pass(call))
  }

  arm (crash: Crash): void {
    this.#crash = crash
    this.#count = 0
  }

  #pass (call: Call): unknown {
    if (this.#crash === null) return call.proceed()
    const { of, n, moment } = this.#crash
    const counts = of === undefined || of.includes(call.operation)
    if (!counts || ++this.#count !== n) return call.proceed()
    if (moment === 'half-way') writeHalf(call)
    else if (moment === 'after') call.proceed()
    // Delivered before kill() returns: not one more instruction of ours runs.
    process.kill(process.pid, 'SIGKILL')
  }
}
