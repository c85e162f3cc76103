// When a session ends (rule I4). One stored time decides; the cookie only follows it.
import type { SessionTimes } from '../../types/store.js'
import type { ResolvedOptions } from '../options/plugin-options.js'

export type ExpiryOptions = Pick<ResolvedOptions, 'idleTimeout' | 'absoluteTimeout' | 'rolling' | 'touchInterval' | 'now'>

export function timesAtCreation (options: ExpiryOptions): SessionTimes & { createdAt: number } {
  const now = options.now()
  return { createdAt: now, lastAccessedAt: now, expiresAt: expiryAt(options, now, now) }
}

/** The times after a visit; null: they stay. They move in steps of touchInterval, and the cookie with them. */
export function timesAfterVisit (options: ExpiryOptions, before: SessionTimes & { createdAt: number }, changed: boolean, touchAsked: boolean): SessionTimes | null {
  if (!touchAsked && !options.rolling && !changed) return null
  const now = options.now()
  if (!touchAsked && now - before.lastAccessedAt < options.touchInterval) return null
  return { lastAccessedAt: now, expiresAt: expiryAt(options, now, before.createdAt) }
}

function expiryAt ({ idleTimeout, absoluteTimeout }: ExpiryOptions, now: number, createdAt: number): number {
  return Math.min(now + idleTimeout, createdAt + absoluteTimeout)
}
