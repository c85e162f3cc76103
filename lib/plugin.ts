// Registers everything on a Fastify instance.
import fastifyCookie from '@fastify/cookie'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { SessionPluginOptions } from '../types/options.js'
import { startCleaner } from './cleaner.js'
import { claimCookieName } from './cookie/claim-cookie-name.js'
import { SessionCookie } from './cookie/session-cookie.js'
import { SessionManager } from './manager.js'
import { type ResolvedOptions, resolveOptions } from './options/plugin-options.js'
import { checkRouteOptions, RoutePolicies } from './options/route-options.js'
import { addHooks } from './request/hooks.js'
import { sessionOn } from './request/request-session.js'
import { SessionService } from './session-service.js'
import type { Session } from './session/session.js'

/** How long app.close() waits for handlers that still hold a lock, in ms. */
const CLOSE_DEADLINE = 10_000

export async function sessionPlugin (app: FastifyInstance, given: SessionPluginOptions): Promise<void> {
  await registerSessions(app, resolveOptions(given))
}

async function registerSessions (app: FastifyInstance, options: ResolvedOptions): Promise<void> {
  const names = decoratorNames(options.decoratorName)
  claimCookieName(app, options.cookieName)

  if (!app.hasReplyDecorator('setCookie')) await app.register(fastifyCookie)
  const service = await SessionService.open(options, app.log)
  const stopCleaner = startCleaner(service)
  // First of all: if anything below fails, the store is closed nevertheless.
  app.addHook('onClose', async () => {
    await stopCleaner()
    await service.close(CLOSE_DEADLINE)
  })
  const cookie = new SessionCookie(app, options)

  app.decorate(names.manager, new SessionManager(service, cookie))
  // The names are known only at run time, so Fastify's types cannot check these two.
  const decorateRequest = app.decorateRequest.bind(app) as (name: string, value: unknown) => void
  decorateRequest(names.session, {
    getter (this: FastifyRequest) {
      return sessionOn(this, service)?.session
    }
  })
  decorateRequest(names.section, async function <T> (this: FastifyRequest, fn: (session: Session) => T | Promise<T>): Promise<T> {
    const own = sessionOn(this, service)
    if (own === undefined) throw new TypeError('This route has no session: its config says session: false, or the call came too early')
    const { session } = own
    return await own.work.withLock(() => fn(session))
  })

  app.addHook('onRoute', (route) => {
    checkRouteOptions(route.config, names.session, `${[route.method].flat().join(',')} ${route.url}`, options.store)
  })
  addHooks(app, service, cookie, new RoutePolicies(options, names.session))
}

/** 'session' gives request.session, request.withSessionLock and fastify.sessions. */
function decoratorNames (name: string): { session: string, section: string, manager: string } {
  return { session: name, section: `with${name.charAt(0).toUpperCase()}${name.slice(1)}Lock`, manager: `${name}s` }
}
