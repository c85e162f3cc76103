// The session cookie: which ids a request brings, and what a reply sends back.
import fastifyCookie from '@fastify/cookie'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { CookieSigner } from '../../types/options.js'
import type { ResolvedOptions } from '../options/plugin-options.js'
import { isWellFormed } from '../session/id.js'
import { mayRepeat, valuesOf } from './cookie-header.js'

/** More cookies of our name than this are not looked at: each one costs a read of the store. */
const MAX_CANDIDATES = 5

export interface CookieId {
  readonly id: string
  /** Valid, but signed with an old secret. */
  readonly renew: boolean
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
  readonly #app: FastifyInstance

  constructor (app: FastifyInstance, options: ResolvedOptions) {
    this.name = options.cookieName
    this.#nameAndEquals = `${this.name}=`
    this.#options = options.cookie
    this.#app = app
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
    // Rounded up, so that the cookie does not end before the session.
    return this.#serialize(value, request, this.#options.persistent ? { maxAge: Math.max(1, Math.ceil((expiresAt - now) / 1000)) } : {})
  }

  /** The Set-Cookie value that takes it away. Same attributes as when it was set, or browsers keep it. */
  toClear (request: FastifyRequest): string {
    return this.#serialize('', request, { maxAge: 0, expires: new Date(0) })
  }

  #serialize (value: string, request: FastifyRequest, life: { maxAge?: number, expires?: Date }): string {
    const { persistent: _, ...attributes } = this.#options
    const secure = attributes.secure === 'auto' ? request.protocol === 'https' : attributes.secure
    return this.#app.serializeCookie(this.name, value, { ...attributes, secure, ...life })
  }

  #verify (value: string): CookieId | null {
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
