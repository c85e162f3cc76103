import type { Store } from './store.js'

/**
 * When a request holds the lock of its session.
 *
 * - `'implicit'`: from its first hook until its changes are saved, just before the reply is sent.
 * - `'explicit'`: only inside `request.withSessionLock()` or between `acquireLock()` and `releaseLock()`.
 * - `'readonly'`: never; the session can be read, not written.
 */
export type Locking = 'implicit' | 'explicit' | 'readonly'

/** Turns the data of a session into what is stored and back. Must be deterministic, or reading nested values causes needless comparisons. */
export interface Serializer {
  encode (data: Record<string, unknown>): string | Uint8Array
  decode (raw: string | Uint8Array): Record<string, unknown>
}

/** Signs and checks cookie values, as `Signer` of @fastify/cookie does. */
export interface CookieSigner {
  sign (value: string): string
  /** `renew`: valid, but signed with an old secret, so the cookie is sent again. */
  unsign (value: string): { valid: boolean, value: string | null, renew?: boolean }
}

export interface SessionCookieOptions {
  /** Default '/'. */
  path?: string
  domain?: string
  /** Default true: scripts in the page cannot read the cookie. */
  httpOnly?: boolean
  /** Default 'auto': Secure on https (also behind a proxy, with Fastify's trustProxy), not on http. */
  secure?: boolean | 'auto'
  /** Default 'lax'. 'none' needs `secure: true`. */
  sameSite?: 'strict' | 'lax' | 'none' | boolean
  /** Needs `secure: true`. */
  partitioned?: boolean
  priority?: 'low' | 'medium' | 'high'
  /** Default true: the cookie outlives the browser window (Max-Age). false: it ends with the browser. */
  persistent?: boolean
}

/** What a route may set under `config.session`; `false` there means no session at all. */
export interface SessionRouteOptions {
  locking?: Locking
  /** ms; Infinity = wait as long as it takes. */
  lockTimeout?: number
  /** ms */
  maxHold?: number
}

export interface SessionPluginOptions {
  /** Where sessions live. Default: a new MemoryStore, which is for one process and forgets at its end. */
  store?: Store
  /** Default 'implicit'. */
  locking?: Locking
  /** Longest wait for the lock in ms, then 503. Infinity is allowed. Default 10 000. */
  lockTimeout?: number
  /** Longest queue per session and process; who comes then gets 429. Default 50. */
  maxWaiters?: number
  /** After this many ms a stuck holder may be overtaken; its later save is refused if somebody was. Default 60 000. */
  maxHold?: number
  /** The session expires after this many ms without a request. Default 60 minutes. */
  idleTimeout?: number
  /** The session expires this many ms after its creation or regeneration, whatever happens. Default 30 days. */
  absoluteTimeout?: number
  /** Whether a visit extends the session; false: only a save does. Default true. */
  rolling?: boolean
  /** A visit closer than this (ms) to the last extension extends nothing and writes nothing. Default 1/20 of idleTimeout, at most 1 minute. */
  touchInterval?: number
  /** Default 'sessionId'. */
  cookieName?: string
  cookie?: SessionCookieOptions
  /** Signs the cookie. A string, several (the first signs, all verify), or a signer. Default: none; ids are random, so signing is optional. */
  secret?: string | string[] | CookieSigner
  /** Makes ids of at least 128 random bits from the characters A-Z a-z 0-9 - _ . ~ (22 to 256 of them). Default: 24 random bytes as base64url. */
  generateId?: () => string
  /** Default JSON. */
  serializer?: Serializer
  /**
   * Whether a request that failed keeps its changes. `error` is what was thrown or sent, undefined for a plain reply with a 5xx status.
   * Default `(error, statusCode) => statusCode < 500`.
   */
  saveOnError?: (error: unknown, statusCode: number) => boolean
  /** How often expired sessions are removed, in ms; 0 = never. Default 5 minutes. */
  cleanupInterval?: number
  /** Bytes of encoded data; larger sessions are refused. Default 1 MiB. */
  maxRecordSize?: number
  /** `Cache-Control: no-store` with the cookie, `Vary: Cookie` when the session was read. Default true. */
  cacheHeaders?: boolean
  /** The name on the request. 'session' gives request.session, request.withSessionLock and fastify.sessions; 'cart' gives request.cart, request.withCartLock, fastify.carts, and config.cart on routes. Default 'session'. */
  decoratorName?: string
  /** The clock, in ms since the epoch. Default Date.now. For tests. */
  now?: () => number
}
