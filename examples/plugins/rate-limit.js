// @fastify/rate-limit: so many requests for each session, whatever address they come from.
import rateLimit from '@fastify/rate-limit'
import Fastify from 'fastify'
import { createHash } from 'node:crypto'
import sessionPlugin from 'fastify-locked-session'

export async function build ({ max = 100 } = {}) {
  const app = Fastify()
  await app.register(sessionPlugin)
  await app.register(rateLimit, { max, timeWindow: '1 minute', keyGenerator: visitorOf })

  app.get('/', async (request) => {
    const visits = request.session.get('visits', 0) + 1
    request.session.set('visits', visits)
    return { visits }
  })

  // A refused request of this route has not waited for the lock.
  app.get('/visits', { config: { session: { locking: 'readonly' } } }, async (request) => {
    return { visits: request.session.get('visits', 0) }
  })

  return app
}

/** Who brings no session is counted by address: throwing the cookie away gains nothing. */
function visitorOf (request) {
  const id = request.session?.id ?? null
  if (id === null) return request.ip
  // A hash, because the key may be stored, and the id is as good as a password.
  return createHash('sha256').update(id).digest('hex')
}

if (process.argv[1] === import.meta.filename) {
  const app = await build()
  console.log(await app.listen({ port: 3000 }))
}
