// Waiting in tests: for a signal, for a condition, and never for ever. Nothing here measures how quick something is.
import { AssertionError } from 'node:assert/strict'

/** What has not come after so many ms will not come, even on a busy machine. */
const PATIENCE = 10_000

/** Closed until it is opened; then everybody who waits goes on. */
export class Gate {
  readonly opened: Promise<void>
  #open!: () => void

  constructor () {
    this.opened = new Promise(resolve => { this.#open = resolve })
  }

  readonly open = (): void => { this.#open() }
}

export async function sleep (ms: number): Promise<void> {
  await new Promise(resolve => setTimeout(resolve, ms))
}

/** Waits for a state that no event tells of. */
export async function until (what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + PATIENCE
  while (!await condition()) {
    if (performance.now() > end) throw new AssertionError({ message: `In vain waited for: ${what}` })
    await sleep(2)
  }
}

/** Rejects when the promise does not settle in time. */
export async function within<T> (what: string, promise: Promise<T>, ms = PATIENCE): Promise<T> {
  let timer
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new AssertionError({ message: `Not done after ${ms} ms: ${what}` })), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
