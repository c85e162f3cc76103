// @fastify/csrf-protection: the secret is in the session, the token in the page.
import csrfProtection from '@fastify/csrf-protection'
import Fastify from 'fastify'
import sessionPlugin from 'fastify-locked-session'

export async function build () {
  const app = Fastify()
  await app.register(sessionPlugin)
  // This name stands for session.get() and session.set(). '@fastify/session' stands for session[key], which throws here.
  await app.register(csrfProtection, { sessionPlugin: '@fastify/secure-session' })

  app.post('/login', async (request) => {
    // The new session has no secret, so tokens from before the login are refused.
    await request.session.regenerate()
    request.session.setUser('ada')
    return { user: 'ada' }
  })

  // The first token of a session writes its secret. The lock makes sure that all tabs get the same one.
  app.get('/form', async (request, reply) => {
    return { token: reply.generateCsrf() }
  })

  // An explicit route has to lock for it.
  app.get('/slow-form', { config: { session: { locking: 'explicit' } } }, async (request, reply) => {
    const token = await request.withSessionLock(() => reply.generateCsrf())
    return { token }
  })

  // As a preHandler it also finds a token in the body, as `_csrf`.
  app.post('/transfer', { preHandler: app.csrfProtection }, async (request) => {
    const transfers = request.session.get('transfers', 0) + 1
    request.session.set('transfers', transfers)
    return { transfers }
  })

  return app
}

if (process.argv[1] === import.meta.filename) {
  const app = await build()
  console.log(await app.listen({ port: 3000 }))
}
