// The ways in which a handler can end a request. Each has the lock, and has set n to 1.
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Readable } from 'node:stream'
import { sleep } from '../patience.js'

export type Handler = (request: FastifyRequest, reply: FastifyReply) => unknown

export interface Ending {
  handler: Handler
  /** What is stored afterwards; -1: the session is gone. */
  n: number
  /** false: the client never gets a whole answer. */
  answers?: false
}

export const ENDINGS: Record<string, Ending> = {
  'the handler returns': { n: 1, handler: () => 'x' },
  'the handler returns null': { n: 1, handler: async (_request, reply) => await reply.code(204).send() },
  'the handler sends': { n: 1, handler: (_request, reply) => { reply.send('x') } },
  'the handler sends later, from a callback': { n: 1, handler: (_request, reply) => { setTimeout(() => { reply.send('x') }, 2) } },
  'the handler sends and goes on': {
    n: 1,
    async handler (_request, reply) {
      reply.send('x')
      await sleep(5)
      return reply
    }
  },
  'the handler sends twice': { n: 1, handler: (_request, reply) => { reply.send('x').send('y') } },
  'the handler redirects': { n: 1, handler: (_request, reply) => reply.redirect('/data') },
  'the handler throws': { n: 0, handler () { throw new Error('broken') } },
  'the handler rejects': {
    n: 0,
    async handler () {
      await sleep(1)
      throw new Error('broken')
    }
  },
  'the handler throws a 4xx': { n: 1, handler () { throw Object.assign(new Error('no'), { statusCode: 403 }) } },
  'the handler throws nothing': {
    n: 0,
    handler () {
      // eslint-disable-next-line no-throw-literal
      throw undefined
    }
  },
  'the handler calls callNotFound()': { n: 1, handler: (_request, reply) => { reply.callNotFound() } },
  'the payload cannot be sent': { n: 1, handler: (_request, reply) => { reply.type('text/plain').send({ not: 'text' }) } },
  'a stream': { n: 1, handler: () => Readable.from(['a', 'b']) },
  'a stream that breaks before its first byte': { n: 1, handler: () => new Readable({ read () { this.destroy(new Error('broken')) } }) },
  'a stream that breaks midway': {
    n: 1,
    answers: false,
    handler: () => Readable.from((function * () {
      yield 'a'
      throw new Error('broken')
    })())
  },
  'hijack, raw end': { n: 1, handler: (_request, reply) => { reply.hijack().raw.end('x') } },
  'hijack, raw end later': {
    n: 1,
    async handler (_request, reply) {
      reply.hijack()
      await sleep(2)
      reply.raw.end('x')
    }
  },
  'raw end without hijack': { n: 1, handler: (_request, reply) => { reply.raw.end('x') } },
  'the connection is cut by the handler': { n: 1, answers: false, handler: (_request, reply) => { reply.hijack().raw.destroy() } },
  'commit() before the reply': {
    n: 1,
    async handler ({ session }) {
      await session.commit()
      return 'x'
    }
  },
  'destroy()': {
    n: -1,
    async handler ({ session }) {
      await session.destroy()
      return 'x'
    }
  },
  'regenerate()': {
    n: -1,
    async handler ({ session }) {
      await session.regenerate(true)
      return 'x'
    }
  },
  'regenerate() twice': {
    n: -1,
    async handler ({ session }) {
      await session.regenerate(true)
      await session.regenerate(['n'])
      return 'x'
    }
  },
  'regenerate() after destroy()': {
    n: -1,
    async handler ({ session }) {
      await session.destroy()
      await session.regenerate()
      session.set('n', 5)
      return 'x'
    }
  }
}
