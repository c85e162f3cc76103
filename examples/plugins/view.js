// @fastify/view with EJS: the template reads the session; it is saved when the page is ready.
import view from '@fastify/view'
import ejs from 'ejs'
import Fastify from 'fastify'
import { join } from 'node:path'
import sessionPlugin from 'fastify-locked-session'

export async function build () {
  const app = Fastify()
  await app.register(sessionPlugin)
  await app.register(view, { engine: { ejs }, root: join(import.meta.dirname, 'views') })

  // Every template gets the session.
  app.addHook('preHandler', async (request, reply) => {
    reply.locals = { session: request.session }
  })

  app.post('/articles', async (request, reply) => {
    request.session.set('articles', [...request.session.get('articles', []), request.body.article])
    return reply.redirect('/', 303)
  })

  app.get('/', async (request, reply) => {
    request.session.set('views', request.session.get('views', 0) + 1)
    return reply.view('articles.ejs')
  })

  return app
}

if (process.argv[1] === import.meta.filename) {
  const app = await build()
  console.log(await app.listen({ port: 3000 }))
}
