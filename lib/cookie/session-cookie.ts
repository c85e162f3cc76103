// The session cookie: which ids a request brings, and what a reply sends back.
import fastifyCookie from '@fastify/cookie'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { CookieSigner } from '../../types/options.js'
import type { Carrier } from '../../types/store.js'
import { CookieTooLargeError } from '../errors.js'
import type { ResolvedOptions } from '../options/plugin-options.js'
import { isWellFormed } from '../session/id.js'
import type { CookieId } from './cookie-id.js'
import { CarriedSessions } from './carried-sessions.js'
import { mayRepeat, valuesOf } from './cookie-header.js'

/** More cookies of our name than this are not looked at: each one costs a read of the store. */
const MAX_CANDIDATES = 5

/** Browsers drop larger cookies: name, value and attributes together. */
const MAX_SIZE = 4096

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
  /** What holds the sessions of one request when they travel in the cookie; null: they are in the store. */
  carriedBy? (request: FastifyRequest, now: () => number, mayWrite: () => boolean): CarriedSessions | null
}

export class SessionCookie implements CookieCodec {
  readonly name: string
  readonly #nameAndEquals: string
  readonly #options: ResolvedOptions['cookie']
  readonly #signer: CookieSigner | null
  readonly #carrier: Carrier | null
  readonly #app: FastifyInstance

  constructor (app: FastifyInstance, options: ResolvedOptions) {
    this.name = options.cookieName
    this.#nameAndEquals = `${this.name}=`
    this.#options = options.cookie
    this.#app = app
    this.#carrier = options.store.carrier ?? null
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

  carriedBy (request: FastifyRequest, now: () => number, mayWrite: () => boolean): CarriedSessions | null {
    const carrier = this.#carrier
    if (carrier === null) return null
    return new CarriedSessions(mayWrite, (id, record) => {
      const cookie = this.#serialize(carrier.seal(id, record, this.name), request, this.#lifeUntil(record.expiresAt, now()))
      if (cookie.length > MAX_SIZE) throw new CookieTooLargeError(cookie.length, MAX_SIZE)
      return cookie
    })
  }

  /** The same for a Cookie header without a request: there the sessions can only be read. */
  carriedIn (header: string, mayWrite: () => boolean): CarriedSessions | null {
    if (this.#carrier === null) return null
    const carried = new CarriedSessions(mayWrite, () => '')
    carried.bring(this.idsIn(header))
    return carried
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
    if (this.#carrier !== null) return value.length > MAX_SIZE ? null : this.#carrier.unseal(value, this.name)
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
