// Stores may answer at once or with a promise. A memory or file store answers in microseconds, and a promise
// around each answer would cost more than the answer. So code that talks to a store makes promises only when the store
// does: `chain` and `attempt` for one step or two, `run` for procedures with loops.
import type { Awaitable } from '../types/store.js'

export type { Awaitable }

/** Steps of a procedure; each `yield` hands out a value or a promise and gets the value back. */
export type Steps<T> = Generator<unknown, T, any>

export function isPromise<T> (value: Awaitable<T>): value is Promise<T> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}

/** Runs the steps; answers at once when nothing in them was a promise. */
export function run<T> (steps: Steps<T>): Awaitable<T> {
  let step = steps.next()
  while (!step.done) {
    if (isPromise(step.value)) return runAsync(steps, step.value)
    step = steps.next(step.value)
  }
  return step.value
}

async function runAsync<T> (steps: Steps<T>, pending: unknown): Promise<T> {
  for (;;) {
    let step
    try {
      step = steps.next(await pending)
    } catch (error) {
      step = undefined
      // Thrown by the promise or by the steps themselves. `throw` on a finished generator rethrows, so both are right.
      step = steps.throw(error)
    }
    if (step.done) return step.value
    pending = step.value
  }
}

/** `then` without a promise where none is needed. `failed` hears of rejections only, not of what `action` throws. */
export function chain<T, U> (value: Awaitable<T>, action: (value: T) => Awaitable<U>, failed?: (error: unknown) => Awaitable<U>): Awaitable<U> {
  return isPromise(value) ? value.then(action, failed) : action(value)
}

/** Runs an action that may throw at once as well as reject; `failed` hears of both, but not of what `done` throws. */
export function attempt<T, U> (action: () => Awaitable<T>, done: (value: T) => Awaitable<U>, failed: (error: unknown) => Awaitable<U>): Awaitable<U> {
  let value
  try {
    value = action()
  } catch (error) {
    return failed(error)
  }
  return chain(value, done, failed)
}

/** Runs something whose failure matters to nobody. */
export function quietly (action: () => unknown): void {
  try {
    const result = action()
    if (isPromise(result)) result.catch(() => {})
  } catch {}
}
