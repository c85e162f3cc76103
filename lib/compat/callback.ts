// Methods that take a callback or return a promise.
import { type Awaitable, isPromise } from '../awaitable.js'

export type Callback = (error?: any) => void

/**
 * Tells the callback how it ended, or returns the promise. Errors of a store come as the store made them.
 * What the callback throws is uncaught, as with any callback, and not a rejection that nobody sees.
 */
export function answer (work: Promise<void>, callback: Callback | undefined): any {
  const result = work.catch((error) => { throw driverError(error) })
  if (callback === undefined) return result
  result.then(() => process.nextTick(callback, null), (error) => process.nextTick(callback, error))
}

/** The same for work that may be done at once; then the callback is called at once, too. */
export function answerAtOnce (work: () => Awaitable<void>, callback: Callback): void {
  let result
  try {
    result = work()
  } catch (error) {
    return callback(driverError(error))
  }
  if (isPromise(result)) answer(result, callback)
  else callback()
}

function driverError (error: any): unknown {
  return error?.code === 'FST_SESSION_STORE_UNAVAILABLE' && error.cause instanceof Error ? error.cause : error
}
