// @fastify/websocket: the session is loaded for the upgrade, and locked for each message, never for the socket.
import websocket from '@fastify/websocket'
import Fastify from 'fastify'
import sessionPlugin from 'fastify-locked-session'

export async function build () {
  const app = Fastify()
  await app.register(sessionPlugin)
  await app.register(websocket)

  app.post('/count', async (request) => {
    const count = request.session.get('count', 0) + 1
    request.session.set('count', count)
    return { count }
  })

  app.post('/logout', async (request) => {
    await request.session.destroy()
    return { ok: true }
  })

  app.get('/socket', { websocket: true, preValidation: mayConnect }, (socket, request) => {
    // The reply to the upgrade is out, so the session is saved and unlocked. Only its id is kept.
    const { id } = request.session
    socket.on('message', async (text) => {
      try {
        const count = await app.sessions.with(id, (session) => {
          session.set('lastMessage', String(text))
          session.set('count', session.get('count', 0) + 1)
          return session.get('count')
        })
        socket.send(JSON.stringify({ count }))
      } catch (error) {
        // Logged out in another tab, or expired.
        if (error.code === 'FST_SESSION_NOT_FOUND') return socket.close(1008, 'Log in again')
        request.log.error(error)
        socket.close(1011, 'Try again')
      }
    })
  })

  return app
}

async function mayConnect (request, reply) {
  // Browsers let any page open a socket to any server, and say which page it was.
  const { origin } = request.headers
  if (origin !== undefined && new URL(origin).host !== request.host) return reply.code(403).send({ error: 'Wrong origin' })
  // The reply to an upgrade cannot carry a cookie, so a session has to exist before.
  if (request.session.isNew) return reply.code(401).send({ error: 'Open the page first' })
}

if (process.argv[1] === import.meta.filename) {
  const app = await build()
  console.log(await app.listen({ port: 3000 }))
}
