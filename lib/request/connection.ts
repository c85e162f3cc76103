// Whether anybody is still there to read a reply.
import type { FastifyReply, FastifyRequest } from 'fastify'

/** 'close' is not emitted to those who begin to listen after it, so this is asked first. */
export function isGone (request: FastifyRequest, reply: FastifyReply): boolean {
  return request.raw.destroyed || connectionIsLost(request, reply)
}

/** For use once the body may have been read: then Node has destroyed the request, and that says nothing. */
export function connectionIsLost (request: FastifyRequest, reply: FastifyReply): boolean {
  const req = request.raw as FastifyRequest['raw'] & { stream?: { destroyed: boolean } }
  return reply.raw.destroyed || reply.raw.closed === true || req.socket?.destroyed === true || req.stream?.destroyed === true
}

/** Set by Node's parser. Whoever upgrades writes the reply to the socket himself. */
export function isUpgrade (request: FastifyRequest): boolean {
  return (request.raw as FastifyRequest['raw'] & { upgrade?: boolean }).upgrade === true
}
