// Every error of the package, each with a stable code. Texts may change, codes may not.
// A text tells what happened and what to do. Ids, keys, file paths and driver messages stay out of it:
// Fastify shows `message` to the client. They belong in `cause`, which only the log sees.
import { createError } from '@fastify/error'

/** What holds a lock: the method and the route pattern of its request. */
export interface LockHolder {
  method: string
  route: string
  /** How long it has held the lock, in ms; -1 when unknown. */
  heldFor: number
}

/** A value in the options is wrong. Thrown when the plugin is registered or a store is constructed. */
export const InvalidOptionError = createError<[string, string]>(
  'FST_SESSION_INVALID_OPTION', 'fastify-locked-session: option "%s" %s', 500, TypeError)

/** `generateId` returned something that cannot be a session id, or that is too easy to guess. */
export const InvalidIdError = createError<[string]>(
  'FST_SESSION_INVALID_ID', 'generateId() returned an unusable session id: %s', 500)

/** A write to the session outside its lock. */
export const NotLockedError = createError<[string]>(
  'FST_SESSION_NOT_LOCKED', 'The session is not locked, so %s. Do it inside request.withSessionLock(), or after await session.acquireLock().', 500)

/** A write on a route with `locking: 'readonly'`. */
export const ReadOnlyError = createError<[string]>(
  'FST_SESSION_READ_ONLY', 'This route has the session read-only, so %s. Give it locking "implicit" or "explicit".', 500)

/** A write after the session was saved for good: the reply is on its way. */
export const CommittedError = createError<[string]>(
  'FST_SESSION_COMMITTED', 'The session is already saved for this reply, so %s. Write before the reply is sent, or use request.withSessionLock().', 500)

/** A write after `session.destroy()` in the same request. */
export const DestroyedError = createError<[string]>(
  'FST_SESSION_DESTROYED', 'The session was destroyed, so %s. Call session.regenerate() to begin a new one.', 500)

/** The call waits for a lock that its own caller holds. */
export const DeadlockError = createError(
  'FST_SESSION_DEADLOCK', 'This call waits for the session lock that its own caller holds, and would wait for ever. Release the lock first, or use the session at hand.', 500)

/** The lock was overtaken after maxHold, and somebody else had the session since. Nothing was written. */
export const LockLostError = createError(
  'FST_SESSION_LOCK_LOST', 'The session lock was held for too long and another request has taken it over. The changes were not saved; send the request again.', 409)

/** The session was changed or replaced by somebody else. Nothing was written. */
export const ConflictError = createError<[string]>(
  'FST_SESSION_CONFLICT', 'The session %s meanwhile. Nothing was saved; send the request again.', 409)

/** The data of the session cannot be encoded. `key` names the top-level key. */
export class NotSerializableError extends createError(
  'FST_SESSION_NOT_SERIALIZABLE', 'The session value "%s" cannot be stored: %s. The stored session is unchanged.', 500) {
  constructor (readonly key: string, reason: string, options?: ErrorOptions) {
    super(key, reason, options)
  }
}

/** The encoded session is larger than `maxRecordSize`, or than what `limitName` says. In bytes. */
export class TooLargeError extends createError<[number, string, number]>(
  'FST_SESSION_TOO_LARGE', 'The session has %s bytes, more than %s (%s). Keep less in it.', 500) {
  constructor (size: number, limit: number, limitName = 'maxRecordSize') {
    super(size, limitName, limit)
  }
}

/** A session that travels in the cookie is larger than browsers accept. */
export const CookieTooLargeError = createError<[number, number]>(
  'FST_SESSION_TOO_LARGE', 'The cookie with the session would have %s bytes, and browsers drop those above %s. Keep less in it, or use a store that keeps sessions on the server.', 500)

/** The store cannot do what was asked, and never will. */
export const UnsupportedError = createError<[string]>(
  'FST_SESSION_UNSUPPORTED', 'This session store cannot %s.', 501)

/** The store failed, on load or on save. What happened is in `cause`. */
export class StoreUnavailableError extends createError(
  'FST_SESSION_STORE_UNAVAILABLE', 'The session store is unavailable. Nothing was saved; try again later.', 503) {
  readonly headers = { 'retry-after': '1' }
}

/** `fastify.sessions.with()` was asked for a session that does not exist. */
export const NotFoundError = createError(
  'FST_SESSION_NOT_FOUND', 'There is no such session.', 404)

/** The native module fs-ext could not be loaded. */
export const FlockUnavailableError = createError(
  'FST_SESSION_FLOCK_UNAVAILABLE', 'FileStore needs the optional dependency fs-ext, and it could not be loaded. Run "npm install fs-ext" (it compiles: python3, make and g++ are needed); where npm skips install scripts, also "npm install-scripts approve fs-ext && npm rebuild fs-ext".', 500)

/** The folder of a FileStore cannot be used. */
export const DirectoryError = createError(
  'FST_SESSION_DIRECTORY', 'The session folder cannot be used: %s', 500)

const LockTimeoutBase = createError<[string]>('FST_SESSION_LOCK_TIMEOUT', '%s', 503)
const LockQueueFullBase = createError<[string]>('FST_SESSION_LOCK_QUEUE_FULL', '%s', 429)

export interface WaitReport {
  /** How long the request waited, in ms. */
  waited: number
  /** Its place among those of this process that wait for the session; 1 is the next. */
  place: number
  /** What holds the lock, when known. */
  holder: LockHolder | null
}

interface Obstacle {
  /** The store has not said yet whether the lock is free, so nobody may hold it. */
  unanswered?: boolean
}

/** The wait for the lock took longer than `lockTimeout`. */
export class LockTimeoutError extends LockTimeoutBase implements WaitReport {
  readonly waited: number
  readonly place: number
  readonly holder: LockHolder | null
  readonly headers = { 'retry-after': '1' }
  constructor (report: WaitReport & Obstacle) {
    super(`The session could not be locked: waited ${report.waited} ms, place ${report.place} in the queue. ${obstacle(report)}`)
    this.waited = report.waited
    this.place = report.place
    this.holder = report.holder
  }
}

/** As many requests as `maxWaiters` allows already wait for the session. */
export class LockQueueFullError extends LockQueueFullBase implements WaitReport {
  readonly waited = 0
  readonly place: number
  readonly holder: LockHolder | null
  readonly headers = { 'retry-after': '1' }
  constructor (report: Omit<WaitReport, 'waited'> & Obstacle) {
    super(`Too many requests wait for the session: this one would be number ${report.place}. ${obstacle(report)}`)
    this.place = report.place
    this.holder = report.holder
  }
}

function obstacle ({ holder, unanswered }: Pick<WaitReport, 'holder'> & Obstacle): string {
  if (unanswered === true) return 'The store has not answered yet.'
  if (holder === null) return 'It is held by another process.'
  const duration = holder.heldFor < 0 ? '' : ` for ${holder.heldFor} ms`
  return `It is held by ${holder.method} ${holder.route}${duration}.`
}

/** Whether an error is one of ours, so that it may pass to the client as it is. */
export function isSessionError (error: unknown): error is Error & { code: string, statusCode: number } {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && error.code.startsWith('FST_SESSION_')
}

/** Wraps whatever a store threw, unless it is already an error of ours. */
export function storeError (error: unknown): Error {
  return isSessionError(error) ? error : new StoreUnavailableError({ cause: error })
}
