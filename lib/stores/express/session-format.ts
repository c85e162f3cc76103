// How a session looks in an express store: `{ cookie, ...data }`, as express-session writes it, so that applications
// with express-session or @fastify/session can read it and write it. What they do not know is under one key of our own.
import type { SessionRecord } from '../../../types/store.js'
import { isObject } from '../../options/check.js'

/** What else we know of a session, and data that cannot be spread. */
export const META = '__lockedSession'
/** session-file-store writes it into every session. */
const LAST_ACCESS = '__lastAccess'
const RESERVED = ['cookie', META, LAST_ACCESS]

const DAY = 24 * 60 * 60_000
/** The last ms of the year 9999; later dates are written in a way that databases do not read. */
const LAST_DATE = 253_402_300_799_999

interface Meta {
  createdAt: number
  lastAccessedAt: number
  user: string | null
  /** Data that are not a JSON object as JSON.stringify writes it, or that have a reserved key. */
  data?: string
  /** The same for bytes, in base64. */
  bytes?: string
}

export interface DecodedSession {
  readonly record: SessionRecord
  readonly cookie: Record<string, unknown>
}

/** Everything of `cookie` is kept, but its expiry. `now`: ms since the epoch. */
export function encodeSession (record: SessionRecord, now: number, cookie: Record<string, unknown> = { httpOnly: true, path: '/' }): object {
  const { data, createdAt, lastAccessedAt, user } = record
  const spread = asPlainObject(data)
  const meta: Meta = { createdAt, lastAccessedAt, user }
  if (spread === null) Object.assign(meta, typeof data === 'string' ? { data } : { bytes: Buffer.from(data).toString('base64') })
  return { cookie: cookieUntil(record.expiresAt, now, cookie), ...spread, [META]: meta }
}

/** Reads what we, express-session or @fastify/session have written. A text says why it cannot be read. */
export function decodeSession (stored: unknown, now: number): DecodedSession | string {
  let plain
  try {
    // Some stores keep sessions as objects, with methods and shared with others.
    plain = JSON.parse(JSON.stringify(stored))
  } catch {
    return 'it cannot be written as JSON'
  }
  if (!isObject(plain)) return 'it is not an object'
  const { cookie, [META]: meta, [LAST_ACCESS]: lastAccess, ...data } = plain
  if (!isObject(cookie)) return 'it has no cookie'
  const end = expiryOf(cookie, typeof lastAccess === 'number' ? lastAccess : now, now)
  if (Number.isNaN(end)) return 'the expiry of its cookie is not a date'
  if (meta === undefined) return { cookie, record: foreignRecord(JSON.stringify(data), end, cookie, now) }
  if (!isMeta(meta)) return 'what this package has added is damaged'
  const { createdAt, lastAccessedAt, user } = meta
  const record = { data: dataIn(meta) ?? JSON.stringify(data), createdAt, lastAccessedAt, expiresAt: end, user }
  return { cookie, record }
}

/** Data that come back as they were after they were spread; null: they do not. */
function asPlainObject (data: string | Uint8Array): object | null {
  if (typeof data !== 'string') return null
  try {
    const parsed: unknown = JSON.parse(data)
    if (!isObject(parsed) || RESERVED.some(key => Object.hasOwn(parsed, key))) return null
    return JSON.stringify(parsed) === data ? parsed : null
  } catch {
    return null
  }
}

/** Stores take their TTL from `expires`, `originalMaxAge` or `maxAge`. The last is no part of what is written. */
function cookieUntil (expiresAt: number, now: number, cookie: Record<string, unknown>): object {
  const end = Math.min(expiresAt, LAST_DATE)
  const expires = new Date(end)
  const until = { ...cookie, originalMaxAge: end - now, expires }
  // @fastify/session believes this one when it is there.
  if (cookie.originalExpires != null) Object.assign(until, { originalExpires: expires })
  return Object.defineProperty(until, 'maxAge', { value: end - now, enumerable: false })
}

/** NaN: the cookie is damaged. */
function expiryOf (cookie: Record<string, unknown>, lastAccess: number, now: number): number {
  const { expires, originalMaxAge, maxAge } = cookie
  if (typeof expires === 'string' || typeof expires === 'number') return new Date(expires).getTime()
  const lifetime = originalMaxAge ?? maxAge
  if (typeof lifetime === 'number') return lastAccess + lifetime
  // It ends with the browser, so the store decides. Most of them say: a day. Our first save or touch gives it an expiry.
  return now + DAY
}

/** Of an application without this package. When it was used last is known from the cookie, when it was made is not. */
function foreignRecord (data: string, expiresAt: number, { originalMaxAge }: Record<string, unknown>, now: number): SessionRecord {
  const used = typeof originalMaxAge === 'number' ? Math.min(expiresAt - originalMaxAge, now) : now
  return { data, createdAt: used, lastAccessedAt: used, expiresAt, user: null }
}

function isMeta (value: unknown): value is Meta {
  return isObject(value) && Number.isFinite(value.createdAt) && Number.isFinite(value.lastAccessedAt) &&
    (value.user === null || typeof value.user === 'string')
}

function dataIn ({ data, bytes }: Meta): string | Uint8Array | undefined {
  return bytes === undefined ? data : Buffer.from(bytes, 'base64')
}
