// The life of a request, in the order in which things happen: onRequest, the handler, onSend; and the ways to
// leave it: the client goes, the handler hijacks the reply, the handler outlives its reply.
//
// Why these hooks and no others: onResponse and onRequestAbort do not always run, and unlocking later than onSend
// deadlocks pipelined requests. The one event that always comes is 'close' of the raw response; but a handler
// whose client has gone still writes, so the lock stays until it has settled, which only Fastify's diagnostics
// channel tells for every route.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { isPromise } from '../awaitable.js'
import type { CookieCodec } from '../cookie/session-cookie.js'
import type { RoutePolicies, RoutePolicy } from '../options/route-options.js'
import type { SessionService } from '../session-service.js'
import { isGone } from './connection.js'
import { followHandlers } from './handlers.js'
import { firstSessionOn, RequestSession, sessionOn, watchClose } from './request-session.js'

type Done = (error?: Error) => void
type DoneWithPayload = (error: Error | null, payload?: unknown) => void

/** Makes what stands for the session of one request. */
export type Begin = (request: FastifyRequest, reply: FastifyReply, policy: RoutePolicy) => RequestSession

export function addHooks (app: FastifyInstance, service: SessionService, cookie: CookieCodec, policies: RoutePolicies, begin: Begin = (request, reply, policy) => new RequestSession(service, cookie, request, reply, policy)): void {
  followHandlers()

  app.addHook('onRequest', function loadSession (request: FastifyRequest, reply: FastifyReply, done: Done) {
    const policy = policies.of(request)
    if (policy === null) return done()
    const own = begin(request, reply, policy)
    reply.hijack = hijack
    if (isGone(request, reply)) return leave(own)
    watchClose(own)
    const id = cookie.idOf(request)
    if (id === null) {
      own.work.beginNew()
      return done()
    }
    let begun
    try {
      begun = own.begin(id)
    } catch (error) {
      own.failed = true
      return done(error as Error)
    }
    if (!isPromise(begun)) return done()
    own.waiting = true
    const go = (error?: Error) => {
      own.waiting = false
      own.failed = error !== undefined
      if (own.answered) own.close()
      else if (own.isGone || reply.sent) leave(own)
      else done(error)
    }
    begun.then(() => go(), go)
  })

  app.addHook('onError', function noteError (request: FastifyRequest, _reply: FastifyReply, error: Error, done: () => void) {
    const own = sessionOn(request, service)
    if (own !== undefined) own.error = error
    done()
  })

  // With a callback, not async: an async onSend turns a second send() into an unhandled rejection on older Fastify.
  app.addHook('onSend', function saveSession (request: FastifyRequest, _reply: FastifyReply, payload: unknown, done: DoneWithPayload) {
    const own = sessionOn(request, service)
    if (own === undefined || own.failed) return done(null, payload)
    if (own.waiting) { // handlerTimeout answers before the lock has come.
      own.answered = true
      own.work.stored.cancelWait()
      return done(null, payload)
    }
    let committed
    try {
      committed = own.commit()
    } catch (error) {
      return fail(own, payload, error as Error, done)
    }
    if (!isPromise(committed)) {
      own.applyHeaders()
      return done(null, payload)
    }
    // Nobody else listens to a stream while we wait, and an 'error' without a listener ends the process.
    if (isStream(payload)) payload.on('error', () => {})
    committed.then(() => {
      own.applyHeaders()
      sendOn(own, () => done(null, payload), done)
    }, (error) => {
      sendOn(own, () => fail(own, payload, error, done), done)
    })
  })
}

/** The save failed: the reply becomes an error, and a stream that was to be sent is closed. */
function fail (own: RequestSession, payload: unknown, error: Error, done: DoneWithPayload): void {
  own.applyFailure(error)
  if (isStream(payload)) payload.destroy()
  done(error)
}

/** done() throws when the reply was sent by somebody else meanwhile, and here nobody would catch it. */
function sendOn (own: RequestSession, send: () => void, done: DoneWithPayload): void {
  try {
    send()
  } catch (error) {
    const { raw, log } = own.reply
    // Fastify cuts a reply that somebody has begun and nobody will end.
    if (raw.writableEnded) {
      log.warn({ err: error }, 'The reply was sent twice; did the handler call reply.send() without returning reply?')
      return
    }
    try {
      done(error as Error)
    } catch {
      raw.destroy()
    }
  }
}

/** Ends a request whose client has gone or was answered already: its handler never runs. */
function leave (own: RequestSession): void {
  own.close()
  originalHijack(own.reply).call(own.reply)
}

/** Put on each reply in place of Fastify's own: the session is saved before the handler takes over the socket. */
function hijack (this: FastifyReply): FastifyReply {
  for (let at = firstSessionOn(this.request); at !== undefined; at = at.next) at.commitAtHijack()
  return originalHijack(this).call(this)
}

function originalHijack (reply: FastifyReply): FastifyReply['hijack'] {
  return Object.getPrototypeOf(reply).hijack
}

function isStream (payload: unknown): payload is NodeJS.ReadableStream & { destroy (): void } {
  return typeof payload === 'object' && payload !== null && typeof (payload as { pipe?: unknown }).pipe === 'function'
}
