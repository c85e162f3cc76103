// The session cookie as @fastify/session writes it: prefix, id, signature. Its attributes come from the session.
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { CookieSigner } from '../../types/options.js'
import { mayRepeat, valuesOf } from '../cookie/cookie-header.js'
import type { CookieId } from '../cookie/cookie-id.js'
import type { CookieCodec } from '../cookie/session-cookie.js'
import type { Cookie, CookieOptions } from './cookie.js'
import { isStable } from './signer.js'

/** More cookies of our name than this are not looked at. */
const MAX_CANDIDATES = 5
const MAX_LENGTH = 1024

/** What decides about the cookie of one request. */
export interface CookieSubject {
  readonly cookieAttributes: Cookie
  /** The application has stored the session itself, so its cookie goes out whatever the connection is. */
  readonly isForced: boolean
}

export class CompatCookie implements CookieCodec {
  readonly #brought = new WeakMap<FastifyRequest, { id: string, value: string }>()

  constructor (
    private readonly app: FastifyInstance,
    readonly name: string,
    private readonly prefix: string,
    private readonly signer: CookieSigner,
    private readonly defaults: CookieOptions,
    private readonly subjectOf: (request: FastifyRequest) => CookieSubject | undefined
  ) {}

  sign (id: string): string {
    return this.signer.sign(id)
  }

  /** As sign(), for the id of a request; what the request has brought already need not be signed again. */
  #signFor (request: FastifyRequest, id: string): string {
    const brought = this.#brought.get(request)
    return brought?.id === id ? brought.value : this.prefix + this.sign(id)
  }

  /** The id in a signed value, with or without the prefix. */
  unsign (value: string): CookieId | null {
    if (typeof value !== 'string' || value.length > MAX_LENGTH) return null
    const bare = this.prefix !== '' && value.startsWith(this.prefix) ? value.slice(this.prefix.length) : value
    const { valid, value: id, renew } = this.signer.unsign(bare)
    return valid && typeof id === 'string' && id !== '' ? { id, renew: renew === true } : null
  }

  /** Whether the request brings a cookie of ours, valid or not. */
  isIn (request: FastifyRequest): boolean {
    return this.#parse(request)?.startsWith(this.prefix) === true
  }

  idOf (request: FastifyRequest): CookieId | CookieId[] | null {
    const header = request.raw.headers.cookie
    if (header === undefined) return null
    if (mayRepeat(header, `${this.name}=`)) return this.idsIn(header)
    const value = this.#parse(request)
    if (value === undefined) return null
    const found = this.#verify(value)
    // A signer of the application may sign anew each time, for a reason.
    if (found !== null && !found.renew && isStable(this.signer)) this.#brought.set(request, { id: found.id, value })
    return found
  }

  idsIn (header: string): CookieId[] {
    const ids = []
    for (const raw of new Set(valuesOf(header, this.name))) {
      const id = this.#verify(decode(raw))
      if (id !== null) ids.push(id)
      if (ids.length === MAX_CANDIDATES) break
    }
    return ids
  }

  mayBeSent (request: FastifyRequest): boolean {
    const subject = this.subjectOf(request)
    return subject === undefined || subject.isForced || subject.cookieAttributes.secure !== true || request.protocol === 'https'
  }

  toSet (id: string, _expiresAt: number, _now: number, request: FastifyRequest): string {
    const attributes = this.subjectOf(request)?.cookieAttributes.toJSON() ?? {}
    return this.app.serializeCookie(this.name, this.#signFor(request, id), withoutEmpty(attributes))
  }

  toClear (request: FastifyRequest): string {
    const { path = '/', domain, sameSite = 'lax', partitioned } = this.defaults
    const secure = request.protocol === 'https'
    return this.app.serializeCookie(this.name, '', withoutEmpty({ path, domain, sameSite, partitioned, secure, maxAge: 0, expires: new Date(0) }))
  }

  #parse (request: FastifyRequest): string | undefined {
    const header = request.raw.headers.cookie
    return header === undefined ? undefined : (request.cookies ?? this.app.parseCookie(header))[this.name]
  }

  #verify (value: string): CookieId | null {
    return value.startsWith(this.prefix) ? this.unsign(value) : null
  }
}

/** The serializer takes undefined for "not there", but not null. */
function withoutEmpty (attributes: Record<string, unknown>): object {
  const own: Record<string, unknown> = {}
  for (const name of Object.keys(attributes)) {
    const value = attributes[name]
    if (value !== null && value !== undefined && value !== false && name !== 'originalMaxAge' && name !== 'originalExpires') own[name] = value
  }
  return own
}

function decode (raw: string): string {
  try {
    return decodeURIComponent(raw)
  } catch {
    return raw
  }
}
