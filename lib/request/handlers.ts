// When a handler begins and when it settles. No hook tells, but Fastify's diagnostics channel does, for every route.
import type { FastifyRequest } from 'fastify'
import { tracingChannel } from 'node:diagnostics_channel'
import { Socket } from 'node:net'
import { callChain, type ChainLink, currentLink } from '../lock/call-chain.js'
import { firstSessionOn, type RequestSession } from './request-session.js'

let following = false

/** Process-wide, so only the first call does something. */
export function followHandlers (): void {
  if (following) return
  following = true
  const handlers = tracingChannel<object, Message>('fastify.request.handler')
  handlers.start.bindStore(callChain, ({ request }) => request === undefined ? currentLink() as ChainLink : enterHandler(request))
  handlers.end.subscribe(forEachSession((session, { async }) => {
    if (async) session.handlerIsAsync()
    else if (session.reply.raw.writableEnded) session.handlerSettled()
  }))
  handlers.asyncStart.subscribe(forEachSession((session) => { session.handlerReturned = true }))
  handlers.asyncEnd.subscribe(forEachSession((session) => { session.handlerSettled() }))
}

interface Message {
  /** Fastify's own handlers have none. */
  request?: FastifyRequest
  async?: boolean
}

function forEachSession (tell: (session: RequestSession, message: Message) => void): (message: unknown) => void {
  return (value) => {
    const message = value as Message
    if (message.request === undefined) return
    for (let at = firstSessionOn(message.request); at !== undefined; at = at.next) tell(at, message)
  }
}

/** Makes the locks of the request known to whatever its handler calls. */
function enterHandler (request: FastifyRequest): ChainLink {
  // Only an injected request can have been made by the handler of another.
  let link = request.raw.socket instanceof Socket ? undefined : currentLink()
  for (let at = firstSessionOn(request); at !== undefined; at = at.next) link = at.handlerBegins(link)
  return link as ChainLink
}
