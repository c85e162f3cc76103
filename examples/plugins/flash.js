// @fastify/flash: a message that is shown once, on the page after the redirect.
import flash from '@fastify/flash'
import Fastify from 'fastify'
import sessionPlugin from 'fastify-locked-session'

export async function build () {
  const app = Fastify()
  await app.register(sessionPlugin)
  await app.register(flash)

  app.post('/notes', async (request, reply) => {
    request.flash('info', 'The note is saved.')
    return reply.redirect('/', 303)
  })

  app.get('/', async (request, reply) => {
    // Ask first: reply.flash() writes, so it would begin a session for everybody who opens the page.
    const messages = request.session.has('flash') ? reply.flash('info') : []
    return { messages }
  })

  return app
}

if (process.argv[1] === import.meta.filename) {
  const app = await build()
  console.log(await app.listen({ port: 3000 }))
}
