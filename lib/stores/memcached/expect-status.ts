import { ProtocolError, type Reply, type ReplyStatus } from './meta-protocol.js'

/** Throws what the server says when it could not do it, as out of memory. */
export function expectStatus (reply: Reply, ...expected: ReplyStatus[]): void {
  if (!expected.includes(reply.status)) throw new ProtocolError(`memcached answered: ${reply.status} ${reply.text}`)
}
