// Removes expired sessions from time to time.
import type { SessionService } from './session-service.js'

/** Starts the timer; returns what stops it and waits for a run under way. The timer keeps no process alive. */
export function startCleaner (service: SessionService): () => Promise<void> {
  const { store, log } = service
  const { cleanupInterval } = service.options
  if (cleanupInterval === 0) return async () => {}
  let running: Promise<void> | null = null

  async function clean (): Promise<void> {
    try {
      const { deleted, remaining } = await store.prune()
      if (deleted > 0) log.debug({ deleted, remaining }, 'Expired sessions removed')
    } catch (cause) {
      log.error({ err: cause }, 'Expired sessions could not be removed; the next try is at the next interval')
    }
  }

  const run = () => { running ??= clean().finally(() => { running = null }) }
  const timer = setInterval(run, Math.min(cleanupInterval, 2 ** 31 - 1)).unref()
  return async () => {
    clearInterval(timer)
    await running
  }
}
