import Fastify from 'fastify'
import sessionPlugin, { MemoryStore } from 'fastify-locked-session'
import { answer } from '../lib/answer.js'
import { now, work } from '../lib/clock.js'
import { networkStores } from './network-contestants.js'

async function storeOf ({ directory, contestant, port }) {
  if (contestant !== undefined) return await networkStores[contestant](port)
  if (directory === undefined) return new MemoryStore()
  const { FileStore } = await import('fastify-locked-session/file')
  return new FileStore({ directory })
}

/** A server whose one route works for `hold` ms under the session's lock and says when it did. */
async function start ({ directory, hold, contestant, port }) {
  const store = await storeOf({ directory, contestant, port })
  const app = Fastify()
  await app.register(sessionPlugin, { store, cookie: { secure: false }, lockTimeout: 60_000, maxWaiters: 1000 })

  app.get('/start', async (request) => {
    request.session.set('n', 0)
    return { n: 0 }
  })

  app.get('/hold', async (request) => {
    const begin = now()
    const n = request.session.get('n') + 1
    await work(hold)
    request.session.set('n', n)
    return { n, begin, end: now() }
  })

  // opens a connection and warms up the route without a session
  app.get('/ping', async () => {
    await work(1)
    return {}
  })

  await app.listen({ port: 0, host: '127.0.0.1' })
  return app.server.address().port
}

answer({ start })
