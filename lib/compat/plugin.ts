// Registers a session that behaves as that of @fastify/session does, and is locked.
import fastifyCookie from '@fastify/cookie'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { startCleaner } from '../cleaner.js'
import { claimCookieName } from '../cookie/claim-cookie-name.js'
import type { Store } from '../../types/store.js'
import { checkRouteOptions, RoutePolicies, type RoutePolicy } from '../options/route-options.js'
import { addHooks } from '../request/hooks.js'
import { sessionOn } from '../request/request-session.js'
import { SessionService } from '../session-service.js'
import { CompatRequest } from './compat-request.js'
import { answer, answerAtOnce } from './callback.js'
import { CompatCookie } from './cookie-codec.js'
import { CompatManager } from './manager.js'
import type { CookieOptions } from './cookie.js'
import { DetachedSession } from './decrypt-session.js'
import { resolveCompatOptions } from './options.js'
import type { SessionObject } from './session-object.js'
import type { Callback, FastifySessionOptions } from './types.js'

/** How long app.close() waits for handlers that still hold a lock, in ms. */
const CLOSE_DEADLINE = 10_000

export async function compatPlugin (app: FastifyInstance, given: FastifySessionOptions): Promise<void> {
  const options = resolveCompatOptions(given)
  claimCookieName(app, options.cookieName)
  if (!app.hasReplyDecorator('setCookie')) await app.register(fastifyCookie)
  const service = await SessionService.open(options.core, app.log)
  const stopCleaner = startCleaner(service)
  // First of all: if anything below fails, the store is closed nevertheless.
  app.addHook('onClose', async () => {
    await stopCleaner()
    await service.close(CLOSE_DEADLINE)
  })
  const on = (request: FastifyRequest) => sessionOn(request, service) as CompatRequest | undefined
  const cookie = new CompatCookie(app, options.cookieName, options.cookiePrefix, options.signer, options.cookie, on)
  /** What the application has put in place of the session, or an empty object where there is none. */
  const replaced = new WeakMap<FastifyRequest, unknown>()

  app.decorate('sessions', new CompatManager(service, cookie, options) as any)
  // Fastify's types know these names with the types of one plugin; here are those of another.
  const decorateRequest = app.decorateRequest.bind(app) as (name: string, value: unknown) => void
  decorateRequest('sessionStore', { getter: () => options.givenStore })
  decorateRequest('session', {
    getter (this: FastifyRequest) {
      const own = on(this)
      if (own !== undefined && !replaced.has(this)) return own.visible
      if (!replaced.has(this)) replaced.set(this, {})
      return replaced.get(this)
    },
    setter (this: FastifyRequest, value: unknown) { replaced.set(this, value) }
  })
  decorateRequest('withSessionLock', async function <T> (this: FastifyRequest, fn: (session: SessionObject) => T | Promise<T>): Promise<T> {
    const own = on(this)
    if (own === undefined) throw new TypeError('This route has no session: its config says session: false, its path is not that of the cookie, or the call came too early')
    return await own.section(fn)
  })
  const policies = new PathPolicies(options.core, 'session', options.cookie.path || '/')
  app.decorate('decryptSession', (value: string, request: any, cookieOptions: CookieOptions | Callback, callback?: Callback) => {
    if (typeof cookieOptions === 'function') return app.decryptSession(value, request, {}, cookieOptions)
    const ownCookie = { ...options.cookie, ...cookieOptions }
    const own = on(request)
    if (own !== undefined && !own.work.committed) {
      const switched = own.switchTo(cookie.unsign(value)?.id ?? null, ownCookie)
      return answer(switched.then(() => { replaced.delete(request) }), callback!)
    }
    const session = new DetachedSession(service, cookie, options, { ...policies.default, locking: 'implicit' }, request)
    answerAtOnce(() => session.load(value, ownCookie), callback!)
  })

  app.addHook('onRoute', (route) => {
    checkRouteOptions(route.config, 'session', `${[route.method].flat().join(',')} ${route.url}`, options.core.store)
  })
  addHooks(app, service, cookie, policies, (request, reply, policy) => new CompatRequest(service, cookie, request, reply, policy, options))
}

/** Outside the path of its cookie there is no session. */
class PathPolicies extends RoutePolicies {
  constructor (defaults: RoutePolicy & { readonly store: Store }, name: string, private readonly path: string) {
    super(defaults, name)
  }

  override of (request: FastifyRequest): RoutePolicy | null {
    const url = request.raw.url!.split('?', 1)[0]!
    return isUnder(url, this.path) ? super.of(request) : null
  }
}

function isUnder (url: string, path: string): boolean {
  return url === path || (url.startsWith(path) && (path.endsWith('/') || url[path.length] === '/'))
}
