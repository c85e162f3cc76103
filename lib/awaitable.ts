// Stores may answer at once or with a promise. A memory or file store answers in microseconds, and a promise
// around each answer would cost more than the answer. So code that talks to a store makes promises only when the store
// does.
import type { Awaitable } from '../types/store.js'

export type { Awaitable }

export function isPromise<T> (value: Awaitable<T>): value is Promise<T> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
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
