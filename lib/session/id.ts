// Session ids: made from random bytes, checked, and turned into the key that stores see.
import * as crypto from 'node:crypto'
import { InvalidIdError } from '../errors.js'

// The characters that need no quoting in a cookie. Anything else never reaches a store.
const WELL_FORMED = /^[A-Za-z0-9\-_.~]{22,256}$/
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i

const ID_BYTES = 24
const POOL_IDS = 128
let pool = Buffer.alloc(0)
let position = 0

/** 24 random bytes as base64url: 32 characters, 192 bits. Random bytes are drawn for many ids at once. */
export function generateSessionId (): string {
  if (position === pool.length) {
    pool = crypto.randomBytes(ID_BYTES * POOL_IDS)
    position = 0
  }
  const id = pool.toString('base64url', position, position + ID_BYTES)
  pool.fill(0, position, position + ID_BYTES)
  position += ID_BYTES
  return id
}

/** Whether a cookie value can be a session id at all. */
export function isWellFormed (id: string): boolean {
  return WELL_FORMED.test(id)
}

/** Whether a text can be the key of a session. */
export function isKey (text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text)
}

/** Throws `FST_SESSION_INVALID_ID` unless the id is well-formed and has room for 128 random bits. */
export function assertUsable (id: unknown): asserts id is string {
  if (typeof id !== 'string') throw new InvalidIdError('it is not a string')
  if (!isWellFormed(id)) throw new InvalidIdError('it must be 22 to 256 characters from A-Z a-z 0-9 - _ . ~')
  if (UUID.test(id)) throw new InvalidIdError('a UUID has at most 122 random bits, 128 are needed')
  const bitsPerCharacter = /^[0-9]*$/.test(id) ? 3.32 : /^[0-9a-f.\-_~]*$/i.test(id) ? 4 : 5.95
  const characters = id.replace(/[.\-_~]/g, bitsPerCharacter < 5 ? '' : '$&').length
  if (characters * bitsPerCharacter < 128) throw new InvalidIdError('it has less than 128 bits')
}

/** The keys of the cookies seen last: hashing one costs as much as all the rest of finding a session in memory. */
const keys = new Map<string, string>()
const MAX_KEYS = 1000

/**
 * SHA-256 of the cookie, `name=id`, in hexadecimal: all that a store ever sees, so that a leaked store holds no usable
 * cookie. With the name, because two plugins may share a store: the id of a cart, sent as that of a login, finds nothing.
 */
export function keyOf (cookieName: string, id: string): string {
  const cookie = `${cookieName}=${id}`
  const known = keys.get(cookie)
  if (known !== undefined) return known
  // Emptied as a whole: whoever sends made-up ids costs others one hash each, not more.
  if (keys.size === MAX_KEYS) keys.clear()
  const key = crypto.hash('sha256', cookie)
  keys.set(cookie, key)
  return key
}
