// session.cookie: the attributes of one session's cookie, as @fastify/session and express-session store them.
import type { CookieSerializeOptions } from '@fastify/cookie'

/** What `options.cookie` and `session.options()` take. */
export interface CookieOptions extends Omit<CookieSerializeOptions, 'signed' | 'maxAge' | 'httpOnly' | 'secure'> {
  /** ms from now until the session ends; wins over `expires`. */
  maxAge?: number
  /** Default true. */
  httpOnly?: boolean
  /** Default true. 'auto': as the request came; then SameSite is Lax on plain http. */
  secure?: boolean | 'auto'
}

/** A cookie as it is found in a store: by this code, by @fastify/session or by express-session. */
export interface StoredCookie extends Omit<CookieOptions, 'expires' | 'maxAge' | 'priority' | 'sameSite' | 'domain' | 'partitioned' | 'secure'> {
  expires?: Date | string | number | null | undefined
  maxAge?: number | null
  originalMaxAge?: number | null
  priority?: CookieOptions['priority'] | undefined
  originalExpires?: Date | string | number | null | undefined
  sameSite?: CookieOptions['sameSite'] | null
  secure?: boolean | 'auto' | null
  domain?: string | null | undefined
  partitioned?: boolean | undefined
}

export class Cookie {
  path: string
  secure: boolean | 'auto' | null
  sameSite: CookieOptions['sameSite'] | null
  domain: string | null
  httpOnly: boolean
  partitioned: boolean | undefined
  priority: CookieOptions['priority']
  originalMaxAge: number | null
  /** When the session would have ended as it was loaded. */
  originalExpires: Date | undefined
  /** @internal The name is part of the format in memory that others may look at. */
  _expires: Date | null

  /** `protocol` decides about `secure: 'auto'`; null where there is no request. */
  constructor (given: StoredCookie, protocol: string | null) {
    const maxAge = given.originalMaxAge || given.maxAge || null
    const expires = toDate(given.expires)
    this.path = given.path || '/'
    this.secure = given.secure ?? null
    this.sameSite = given.sameSite || null
    this.domain = given.domain || null
    this.httpOnly = given.httpOnly ?? true
    this.partitioned = given.partitioned
    this.priority = given.priority
    this._expires = expires
    this.originalExpires = expires ?? undefined
    this.originalMaxAge = null
    if (maxAge !== null) this.maxAge = maxAge
    if (this.secure === 'auto') {
      this.secure = protocol === 'https'
      if (!this.secure) this.sameSite = 'lax'
    }
  }

  get expires (): Date | null { return this._expires }
  set expires (date: Date | null | undefined) { this._expires = toDate(date) }

  /** ms from now; null: it ends with the browser. */
  get maxAge (): number | null {
    return this._expires === null ? null : this._expires.getTime() - Date.now()
  }

  set maxAge (ms: number | null) {
    this._expires = ms === null ? null : toDate(Date.now() + ms)
    this.originalMaxAge = ms
  }

  toJSON (): Record<string, unknown> {
    const { originalMaxAge, originalExpires, sameSite, secure, path, httpOnly, domain, partitioned, priority } = this
    const json = { expires: this._expires, originalMaxAge, originalExpires, sameSite, secure, path, httpOnly, domain, partitioned }
    return priority === undefined ? json : { ...json, priority }
  }
}

/** null for anything that is no date: a spoilt expiry must not reach the code that writes headers. */
export function toDate (value: unknown): Date | null {
  if (value === null || value === undefined || value === '') return null
  const date = new Date(value as string | number | Date)
  return Number.isNaN(date.getTime()) ? null : date
}
