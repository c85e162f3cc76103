// Methods that take a callback or return a promise.

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

function driverError (error: any): unknown {
  return error?.code === 'FST_SESSION_STORE_UNAVAILABLE' && error.cause instanceof Error ? error.cause : error
}
