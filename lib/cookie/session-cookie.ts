// The session cookie: which ids a request brings, and what a reply sends back.
import fastifyCookie from '@fastify/cookie'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { CookieSigner } from '../../types/options.js'
import type { Carrier, SessionRecord } from '../../types/store.js'
import { CookieTooLargeError } from '../errors.js'
import type { ResolvedOptions } from '../options/plugin-options.js'
import { isWellFormed } from '../session/id.js'
import { mayRepeat, valuesOf } from './cookie-header.js'

/** More cookies of our name than this are not looked at: each one costs a read of the store. */
const MAX_CANDIDATES = 5

/** Browsers drop larger cookies: name, value and attributes together. */
const MAX_SIZE = 4096

export interface CookieId {
  readonly id: string
  /** Valid, but signed or sealed with an old secret. */
  readonly renew: boolean
  /** The session itself, when it travels in the cookie. */
  readonly record?: SessionRecord
}

/** Reads ids from requests and writes them into replies. */
export interface CookieCodec {
  readonly name: string
  /** The id that the request brings. Several: its name came more than once. */
  idOf (request: FastifyRequest): CookieId | CookieId[] | null
  /** Whether a browser would get the cookie. */
  mayBeSent (request: FastifyRequest): boolean
  /** The Set-Cookie value that gives the client its id until `expiresAt`. */
  toSet (id: string, expiresAt: number, now: number, request: FastifyRequest): string
  /** The Set-Cookie value that takes it away. */
  toClear (request: FastifyRequest): string
}

export class SessionCookie implements CookieCodec {
  readonly name: string
  readonly #nameAndEquals: string
  readonly #options: ResolvedOptions['cookie']
  readonly #signer: CookieSigner | null
  readonly carrier: Carrier | null
  readonly #app: FastifyInstance

  constructor (app: FastifyInstance, options: ResolvedOptions) {
    this.name = options.cookieName
    this.#nameAndEquals = `${this.name}=`
    this.#options = options.cookie
    this.#app = app
    this.carrier = options.store.carrier ?? null
    const { secret } = options
    if (secret === null) this.#signer = null
    else if (typeof secret === 'string' || Array.isArray(secret)) this.#signer = new fastifyCookie.Signer(secret)
    else this.#signer = secret
  }

  /** The id that the request brings, if it is well-formed and its signature holds. Several: see idsIn(). */
  idOf (request: FastifyRequest): CookieId | CookieId[] | null {
    const header = request.raw.headers.cookie
    if (header === undefined) return null
    if (mayRepeat(header, this.#nameAndEquals)) return this.idsIn(header)
    // Parsed by @fastify/cookie already, unless the application has switched that off.
    const value = (request.cookies ?? this.#app.parseCookie(header))[this.name]
    return value === undefined ? null : this.#verify(value)
  }

  /** Every usable id in a Cookie header. */
  idsIn (header: string): CookieId[] {
    const ids = []
    for (const raw of new Set(valuesOf(header, this.name))) {
      const id = this.#verify(decode(raw))
      if (id !== null) ids.push(id)
      if (ids.length === MAX_CANDIDATES) break
    }
    return ids
  }

  /** Whether a browser would get the cookie: a Secure one is not sent over plain http. */
  mayBeSent (request: FastifyRequest): boolean {
    return this.#options.secure !== true || request.protocol === 'https'
  }

  /** The Set-Cookie value that gives the client its id until `expiresAt`. */
  toSet (id: string, expiresAt: number, now: number, request: FastifyRequest): string {
    const value = this.#signer === null ? id : this.#signer.sign(id)
    return this.#serialize(value, request, this.#lifeUntil(expiresAt, now))
  }

  /** The Set-Cookie value that holds the session itself. Throws when it is too large for browsers. */
  toCarry (id: string, record: SessionRecord, now: number, request: FastifyRequest): string {
    const cookie = this.#serialize(this.carrier!.seal(id, record, this.name), request, this.#lifeUntil(record.expiresAt, now))
    if (cookie.length > MAX_SIZE) throw new CookieTooLargeError(cookie.length, MAX_SIZE)
    return cookie
  }

  /** The Set-Cookie value that takes it away. Same attributes as when it was set, or browsers keep it. */
  toClear (request: FastifyRequest): string {
    return this.#serialize('', request, { maxAge: 0, expires: new Date(0) })
  }

  #lifeUntil (expiresAt: number, now: number): { maxAge?: number } {
    // Rounded up, so that the cookie does not end before the session.
    return this.#options.persistent ? { maxAge: Math.max(1, Math.ceil((expiresAt - now) / 1000)) } : {}
  }

  #serialize (value: string, request: FastifyRequest, life: { maxAge?: number, expires?: Date }): string {
    const { persistent: _, ...attributes } = this.#options
    const secure = attributes.secure === 'auto' ? request.protocol === 'https' : attributes.secure
    return this.#app.serializeCookie(this.name, value, { ...attributes, secure, ...life })
  }

  #verify (value: string): CookieId | null {
    if (this.carrier !== null) return value.length > MAX_SIZE ? null : this.carrier.unseal(value, this.name)
    if (this.#signer === null) return isWellFormed(value) ? { id: value, renew: false } : null
    if (value.length > 1024) return null
    const { valid, value: id, renew } = this.#signer.unsign(value)
    return valid && id !== null && isWellFormed(id) ? { id, renew: renew === true } : null
  }
}

function decode (raw: string): string {
  try {
    return decodeURIComponent(raw)
  } catch {
    return raw
  }
}
