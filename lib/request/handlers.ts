// When a handler begins and when it settles. No hook tells, but Fastify's diagnostics channel does, for every route.
import type { FastifyRequest } from 'fastify'
import { tracingChannel } from 'node:diagnostics_channel'
import { Socket } from 'node:net'
import { callChain, type ChainLink, currentLink } from '../lock/call-chain.js'
import { firstSessionOn } from './request-session.js'

let following = false

/** Process-wide, so only the first call does something. */
export function followHandlers (): void {
  if (following) return
  following = true
  const handlers = tracingChannel<object, { request?: FastifyRequest }>('fastify.request.handler')
  handlers.start.bindStore(callChain, ({ request }) => request === undefined ? currentLink() as ChainLink : enterHandler(request))
  handlers.end.subscribe((message) => {
    const { request, async } = message as { request?: FastifyRequest, async: boolean }
    if (request === undefined) return
    for (let at = firstSessionOn(request); at !== undefined; at = at.next) {
      if (async) at.handlerIsAsync()
      else if (at.reply.raw.writableEnded) at.handlerSettled()
    }
  })
  handlers.asyncStart.subscribe((message) => {
    const { request } = message as { request?: FastifyRequest }
    if (request === undefined) return
    for (let at = firstSessionOn(request); at !== undefined; at = at.next) at.handlerReturned = true
  })
  handlers.asyncEnd.subscribe((message) => {
    const { request } = message as { request?: FastifyRequest }
    if (request === undefined) return
    for (let at = firstSessionOn(request); at !== undefined; at = at.next) at.handlerSettled()
  })
}

/** Makes the locks of the request known to whatever its handler calls. */
function enterHandler (request: FastifyRequest): ChainLink {
  // Only an injected request can have been made by the handler of another.
  const outer = request.raw.socket instanceof Socket ? undefined : currentLink()
  const first = firstSessionOn(request)
  for (let at = first; at !== undefined; at = at.next) {
    at.handlerRuns = true
    at.outer = at.next ?? outer
  }
  return (first ?? outer) as ChainLink
}
