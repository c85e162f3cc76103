// The public types, by the names that @fastify/session gives them.
import type { FastifyRequest, Session } from 'fastify'
import type { SessionPluginOptions, SessionRouteOptions } from '../../types/options.js'
import type { RequestSessionObject, SessionManagerObject } from '../../types/request-session.js'
import type { Store } from '../../types/store.js'
import type { Callback } from './callback.js'
import type { CompatManager } from './manager.js'
import type { CookieOptions, StoredCookie } from './cookie.js'
import type { Secret } from './signer.js'

export type { Callback }

declare module 'fastify' {
  interface FastifyInstance {
    /** Sessions outside of a request. */
    sessions: SessionManagerObject
    /** Puts the session that a signed id names on `request`, a new one if it names none. Nothing is locked. */
    decryptSession<Request extends Record<string, any> = FastifyRequest> (sessionId: string, request: Request, cookieOpts: CookieOptions, callback: Callback): void
    decryptSession<Request extends Record<string, any> = FastifyRequest> (sessionId: string, request: Request, callback: Callback): void
  }

  interface FastifyRequest {
    session: RequestSessionObject
    /** The store as it was given. */
    sessionStore: Readonly<SessionStore>
    /** Runs `fn` with the session locked and freshly loaded, saves and unlocks. If `fn` throws, its changes are rolled back. */
    withSessionLock<T> (fn: (session: RequestSessionObject) => T | Promise<T>): Promise<T>
  }

  interface FastifyContextConfig {
    session?: false | SessionRouteOptions
  }

  /** The data of a session. Describe yours by augmentation. */
  interface Session {
    cookie: {
      originalMaxAge: number | null
      maxAge?: number
      signed?: boolean
      expires?: Date | null
      httpOnly?: boolean
      path?: string
      domain?: string
      secure?: boolean | 'auto'
      sameSite?: boolean | 'lax' | 'strict' | 'none'
    }
  }
}

declare module '../../types/request-session.js' {
  interface SessionKinds { compat: FastifySessionObject }
  interface ManagerKinds { compat: CompatManager }
}
export type CallbackSession = (error: any, result?: Session | null) => void

/** A session as stores keep it. */
export type StoredSessionData = Record<string, any> & { cookie?: StoredCookie }

/** A store of express-session or @fastify/session. `touch` is used when it is there. */
export interface SessionStore {
  set (sessionId: string, session: any, callback: Callback): void
  get (sessionId: string, callback: CallbackSession): void
  destroy (sessionId: string, callback: Callback): void
  touch? (sessionId: string, session: any, callback: any): void
}

/** The options of @fastify/session, and those of this package that concern the lock. */
export interface FastifySessionOptions extends Pick<SessionPluginOptions, 'locking' | 'lockTimeout' | 'maxWaiters' | 'maxHold' | 'saveOnError' | 'maxRecordSize' | 'cleanupInterval'> {
  /** Signs the cookie: a string of at least 32 characters, several, of which the first signs and all verify, or a signer. The array may be changed while the server runs. */
  secret: Secret
  /** Default 'sha256'. */
  algorithm?: string
  /** Default 'sessionId'. */
  cookieName?: string
  cookie?: CookieOptions
  /** Default: a new MemoryStore. A store of `fastify-locked-session` locks across processes; any other within one process. */
  store?: SessionStore | Store
  /** Also store sessions that nobody has written to. Default true. */
  saveUninitialized?: boolean
  /** Store the session and send its cookie with every reply. Default true. */
  rolling?: boolean
  /** Must return an id that nobody can guess. Default: 24 random bytes as base64url. */
  idGenerator? (request?: FastifyRequest): string
  /** Put before the signed id in the cookie; express-session has 's:'. Default ''. */
  cookiePrefix?: string
}

export interface FastifySessionObject extends Session {
  sessionId: string
  encryptedSessionId: string
  /** Moves the expiry to maxAge from now. */
  touch (): void
  /** A new id. `keep` names the fields that the new session keeps. */
  regenerate (callback: Callback): void
  regenerate (keep: string[], callback: Callback): void
  regenerate (): Promise<void>
  regenerate (keep: string[]): Promise<void>
  /** Changes the cookie of this session. */
  options (cookie: Partial<CookieOptions>): void
  /** Deletes the session. */
  destroy (callback: Callback): void
  destroy (): Promise<void>
  /** Reads the session from the store again. */
  reload (callback: Callback): void
  reload (): Promise<void>
  /** Stores the session now. */
  save (callback: Callback): void
  save (): Promise<void>
  set<K extends keyof Session> (key: K, value: Session[K]): void
  get<K extends keyof Session> (key: K): Session[K] | undefined
  /** Whether it was changed since it was loaded or saved. */
  isModified (): boolean
  /** Whether save() has stored it in this request. */
  isSaved (): boolean
}
