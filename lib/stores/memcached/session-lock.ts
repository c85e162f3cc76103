// What is in a lock item, and how long it lives.
import { randomBytes } from 'node:crypto'
import type { Ticket } from '../../../types/store.js'

/**
 * A lock that was not released stays on the server for so long (s) after its lease is over. By it the next holder sees
 * that there may still be somebody who believes to hold it, and makes the loaded version invalid before it reads.
 */
const GRACE = 60

export interface LockValue {
  /** Unlike a CAS it never comes again. */
  token: string
  method: string
  route: string
  /** ms since the epoch, on the holder's clock. */
  since: number
}

export function newLock ({ method, route }: Ticket): LockValue {
  return { token: randomBytes(12).toString('base64url'), method, route, since: Date.now() }
}

export function encodeLock (lock: LockValue): string {
  return JSON.stringify(lock)
}

/** null: none of ours. */
export function decodeLock (bytes: Buffer | null): LockValue | null {
  try {
    return bytes === null ? null : JSON.parse(bytes.toString())
  } catch {
    return null
  }
}

/** The flag for a lease of so many ms. The server counts whole seconds and the first is short, hence one more. */
export function lockTTL (lease: number): string {
  return `T${Math.ceil(lease / 1000) + 1 + GRACE}`
}

/** Whether a lock with so many seconds to live still keeps others out. */
export function isHeld (ttl: number): boolean {
  return ttl === -1 || ttl > GRACE
}
