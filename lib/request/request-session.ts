// The session of one request, from the first hook to the last byte.
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ServerResponse } from 'node:http'
import { type Awaitable, isPromise } from '../awaitable.js'
import { removeCookieHeader, setCookieHeader, setCookieOnRaw, varyByCookie } from '../cookie/reply-headers.js'
import type { CookieId } from '../cookie/cookie-id.js'
import type { CookieCodec } from '../cookie/session-cookie.js'
import { CommittedError } from '../errors.js'
import type { ChainLink } from '../lock/call-chain.js'
import type { RoutePolicy } from '../options/route-options.js'
import type { SessionService } from '../session-service.js'
import { Session } from '../session/session.js'
import type { WorkOwner } from '../session/stored-session.js'
import type { CarriedSessions } from '../cookie/carried-sessions.js'
import { UnitOfWork } from '../session/unit-of-work.js'
import { connectionIsLost, isGone, isUpgrade } from './connection.js'

const kSessions = Symbol('fastify-locked-session')

/** Where requests and raw responses keep their sessions: usually one, a chain when the plugin is registered twice. */
type Carrier = { [kSessions]?: RequestSession | undefined }

export class RequestSession implements WorkOwner {
  readonly work: UnitOfWork
  /** The session of another registration of the plugin, on the same request. */
  readonly next: RequestSession | undefined
  /** Waits for the lock, so the handler must not begin. */
  waiting = false
  /** Nothing was loaded, or nothing could be saved: the reply only passes through. */
  failed = false
  /** handlerTimeout has answered while it waited for the lock. */
  answered = false
  /** The handler has begun and has not settled, as far as one can know. */
  handlerRuns = false
  /** The promise of the handler has settled; what it returned may still be on its way. */
  handlerReturned = false
  /** What the request failed with, if it did. */
  error: unknown

  /** The connection has ended: no cookie can reach the client, and usually nobody reads the reply. */
  #closed = false
  /** The sessions of this request, when they travel in the cookie. */
  readonly #carried: CarriedSessions | null
  /** Its handler is counted among those that may still write. */
  #counted = false
  #headersDone = false
  #wasRead = false
  #renewCookie = false
  #session: Session | null = null

  constructor (
    readonly service: SessionService,
    readonly cookie: CookieCodec,
    readonly request: FastifyRequest,
    readonly reply: FastifyReply,
    policy: RoutePolicy
  ) {
    this.#carried = cookie.carriedBy?.(request, service.options.now, () => this.mayCreate()) ?? null
    this.work = new UnitOfWork(this.#carried === null ? service : service.on(this.#carried), policy, this)
    const carrier = request as Carrier
    this.next = carrier[kSessions]
    carrier[kSessions] = this
  }

  get method (): string { return this.request.method }
  get route (): string { return this.request.routeOptions.url ?? '(no route)' }

  /** What the handler sees. Whoever asks for it has read the session. */
  get session (): Session {
    this.#wasRead = true
    this.#session ??= new Session(this.work)
    return this.#session
  }

  /** Locks and loads, or reads, what the cookie names. */
  begin (cookie: CookieId | CookieId[]): Awaitable<void> {
    if (this.#carried !== null) this.#carried.bring(cookie)
    if (Array.isArray(cookie)) return this.#beginAmong(cookie)
    this.#renewCookie = cookie.renew
    return this.work.begin(cookie.id)
  }

  /** Rule I5: of several cookies only one may name a live session; their order says nothing. */
  async #beginAmong (cookies: CookieId[]): Promise<void> {
    const { stored } = this.work
    const live = []
    for (const cookie of cookies) {
      await stored.read(cookie.id, this.service.keyOf(cookie.id))
      if (stored.record !== null) live.push(cookie)
    }
    stored.forget()
    if (live.length > 1) this.request.log.warn('The request brings several cookies that name live sessions; none is used')
    const only = live.length === 1 ? live[0] : undefined
    this.#renewCookie = only?.renew ?? false
    if (only === undefined) this.work.beginNew()
    else await this.work.begin(only.id)
  }

  /** The id under which a new session is stored. */
  newId (): string {
    return this.service.newId()
  }

  /** Whether a new session is worth storing. Throws when the handler must know that it is too late. */
  mayCreate (): boolean {
    if (this.#headersDone || this.reply.raw.headersSent) {
      throw new CommittedError('a new session cannot be stored: its cookie can no longer be sent')
    }
    if (this.#closed || connectionIsLost(this.request, this.reply)) {
      this.request.log.debug('A new session is not stored, because the client has gone without its cookie')
      return false
    }
    if (isUpgrade(this.request)) {
      this.request.log.warn('A new session is not stored, because a websocket begins without the headers of the reply, so without its cookie')
      return false
    }
    if (!this.cookie.mayBeSent(this.request)) {
      logInsecureOnce(this)
      return false
    }
    return true
  }

  // ---- the end ----

  /** Saves and unlocks, or drops the changes of a request that failed. */
  commit (): Awaitable<void> {
    this.#count(false)
    return this.work.commit(this.#keepsChanges())
  }

  #keepsChanges (): boolean {
    const { statusCode } = this.reply
    if (this.error === undefined && statusCode < 500) return true
    return this.service.options.saveOnError(this.error, statusCode)
  }

  /** Sets the headers of a reply whose session is saved. */
  applyHeaders (): void {
    this.#headersDone = true
    const { reply, work: { stored } } = this
    if (reply.raw.headersSent) return
    const { cacheHeaders } = this.service.options
    const cookie = this.#cookieToSend()
    if (cookie !== null) {
      setCookieHeader(reply, this.cookie.name, cookie)
      if (cacheHeaders) reply.header('cache-control', 'no-store')
    }
    if (cacheHeaders && (this.#wasRead || stored.cookieAction !== 'none')) varyByCookie(reply)
  }

  /** Takes back what the handler prepared for a success that did not happen (rule S8). */
  applyFailure (error: Error & { statusCode?: number }): void {
    this.failed = true
    this.#headersDone = true
    const { reply } = this
    if (reply.raw.headersSent) return
    reply.removeHeader('location')
    removeCookieHeader(reply, this.cookie.name)
    reply.header('cache-control', 'no-store')
    // Without this a status that the handler has set would stay.
    reply.code(error.statusCode ?? 500)
  }

  /** From here on the handler writes to the socket itself. */
  commitAtHijack (): void {
    // Fastify does not tell how a handler that has hijacked its reply ends.
    this.#count(false)
    if (this.waiting || this.failed || this.#headersDone) return
    this.#finish()
    const cookie = this.#cookieToSend()
    if (cookie !== null) setCookieOnRaw(this.reply.raw as ServerResponse, cookie)
    this.#headersDone = true
  }

  /** The connection has ended, in whatever way. */
  close (): void {
    this.#closed = true
    if (this.waiting) this.work.stored.cancelWait()
    // While the handler runs it keeps the lock: it will still write. handlerSettled() or maxHold ends that.
    else if (!this.handlerRuns || this.reply.raw.writableEnded) this.#finish()
  }

  /** Answers with its place in the call chain. */
  handlerBegins (outer: ChainLink | undefined): ChainLink {
    this.handlerRuns = true
    return this.work.handlerBegins(outer)
  }

  /** The handler has returned a promise, so its end will be known. */
  handlerIsAsync (): void {
    if (!this.work.committed) this.#count(true)
  }

  handlerSettled (): void {
    this.handlerRuns = false
    this.#count(false)
    // Node 20 can lose the connection of an HTTP/2 client without telling, so an ended reply need not close.
    if (this.#closed || this.reply.raw.writableEnded) this.#finish()
  }

  /** Whether the client has gone, so that nobody would read a reply. */
  get isGone (): boolean {
    return this.#closed || isGone(this.request, this.reply)
  }

  #count (counted: boolean): void {
    if (counted === this.#counted) return
    this.#counted = counted
    this.service.running += counted ? 1 : -1
  }

  /** Commits outside of onSend, where an error can only be logged. */
  #finish (): void {
    if (this.failed || this.work.committed) return
    const failed = (cause: unknown) => {
      this.failed = true
      this.request.log.error({ err: cause, cause: (cause as Error).cause }, 'The session could not be saved after its reply')
    }
    try {
      const committed = this.commit()
      if (isPromise(committed)) committed.catch(failed)
    } catch (error) {
      failed(error)
    }
  }

  #cookieToSend (): string | null {
    const { work, request, cookie, service } = this
    const { stored } = work
    if (work.expireCookie || stored.cookieAction === 'clear') return cookie.toClear(request)
    if (stored.id === null) return null
    const must = stored.cookieAction === 'set' || (this.#renewCookie && stored.record !== null) || this.#carried?.isWritten(stored.id) === true
    if (!must) return null
    if (!cookie.mayBeSent(request)) {
      logInsecureOnce(this)
      return null
    }
    return this.#carried?.cookieOf(stored.id) ?? cookie.toSet(stored.id, stored.times.expiresAt, service.options.now(), request)
  }
}

/** The session that one registration of the plugin keeps on a request. */
export function sessionOn (request: FastifyRequest, service: SessionService): RequestSession | undefined {
  let at = (request as Carrier)[kSessions]
  while (at !== undefined && at.service !== service) at = at.next
  return at
}

/** All sessions on a request. */
export function firstSessionOn (request: FastifyRequest): RequestSession | undefined {
  return (request as Carrier)[kSessions]
}

/** Calls `close()` when the connection ends; once for a response, whatever number of sessions is on it. */
export function watchClose (own: RequestSession): void {
  const raw = own.reply.raw as ServerResponse & Carrier
  if (raw[kSessions] === undefined) raw.on('close', closeAll)
  raw[kSessions] = own
}

function closeAll (this: ServerResponse & Carrier): void {
  for (let at = this[kSessions]; at !== undefined; at = at.next) at.close()
}

const warned = new WeakSet<SessionService>()

/** Rule I6. */
function logInsecureOnce (own: RequestSession): void {
  if (warned.has(own.service)) return
  warned.add(own.service)
  own.request.log.error(
    { cookie: own.cookie.name, protocol: own.request.protocol },
    'The session cookie is Secure and this request came over plain http, so no session can be kept. Behind a proxy that ends TLS, set trustProxy in Fastify; for plain http, set cookie.secure to "auto" or false'
  )
}
