// @fastify/http-proxy: the session says who asks; the service behind gets the name, never the cookie.
import proxy from '@fastify/http-proxy'
import Fastify from 'fastify'
import sessionPlugin from 'fastify-locked-session'

export async function build ({ upstream = 'http://127.0.0.1:4000' } = {}) {
  const app = Fastify()
  await app.register(sessionPlugin)

  app.post('/login', async (request) => {
    await request.session.regenerate()
    request.session.setUser(request.body.name)
    return { user: request.session.user }
  })

  app.post('/count', async (request) => {
    const count = request.session.get('count', 0) + 1
    request.session.set('count', count)
    return { count }
  })

  const service = {
    upstream,
    preHandler: mustBeLoggedIn,
    replyOptions: { rewriteRequestHeaders }
  }
  // Read-only: however slow the service is, no request of this visitor waits for another.
  await app.register(proxy, { ...service, prefix: '/api', config: { session: { locking: 'readonly' } } })
  // Implicit: the lock is held until the service begins to answer, so a visitor's orders go out one by one.
  await app.register(proxy, { ...service, prefix: '/orders' })

  return app
}

async function mustBeLoggedIn (request, reply) {
  if (request.session.user === null) return reply.code(401).send({ error: 'Log in first' })
}

function rewriteRequestHeaders (request, { cookie, ...headers }) {
  return { ...headers, 'x-user': encodeURIComponent(request.session.user) }
}

if (process.argv[1] === import.meta.filename) {
  const app = await build()
  console.log(await app.listen({ port: 3000 }))
}
