// Server-sent events, without a plugin: the session is saved and unlocked before the stream begins.
import Fastify from 'fastify'
import { EventEmitter } from 'node:events'
import { PassThrough } from 'node:stream'
import sessionPlugin from 'fastify-locked-session'

const HEADERS = { 'content-type': 'text/event-stream', 'cache-control': 'no-store' }

export async function build () {
  const app = Fastify({ forceCloseConnections: true }) // Or the open streams would keep the server from closing.
  await app.register(sessionPlugin)

  // Tells the tabs of a visitor about a new count. With several processes, a message broker does this.
  const counts = new EventEmitter().setMaxListeners(0)

  app.post('/count', async (request) => {
    const count = request.session.get('count', 0) + 1
    request.session.set('count', count)
    // Saved and unlocked before the streams hear of it. They run inside this call, and may want the lock.
    await request.session.commit()
    counts.emit(request.session.id, count)
    return { count }
  })

  // As a stream that Fastify sends.
  app.get('/events', { config: { session: { locking: 'readonly' } } }, async (request, reply) => {
    const { id } = request.session
    if (id === null) return reply.code(204).send() // 204 tells the browser not to come back.
    const stream = new PassThrough()
    const send = (count) => stream.write(`data: ${count}\n\n`)
    counts.on(id, send)
    stream.on('close', () => counts.off(id, send))
    send(request.session.get('count', 0))
    return reply.headers(HEADERS).send(stream)
  })

  // By hand. It writes to the session before the stream begins, and while it is open.
  app.get('/events/raw', (request, reply) => {
    const { session } = request
    session.set('streams', session.get('streams', 0) + 1)
    reply.hijack() // Saves, unlocks, and puts the session's cookie on reply.raw.
    const { id } = session
    const { raw } = reply
    raw.writeHead(200, HEADERS)
    const send = async (count) => {
      raw.write(`data: ${count}\n\n`)
      try {
        await request.withSessionLock((session) => session.set('heard', session.get('heard', 0) + 1))
      } catch (error) {
        request.log.warn(error)
        raw.end()
      }
    }
    counts.on(id, send)
    raw.on('close', () => counts.off(id, send))
    raw.write(`data: ${session.get('count', 0)}\n\n`)
  })

  app.get('/session', { config: { session: { locking: 'readonly' } } }, async (request) => request.session.data())

  return app
}

if (process.argv[1] === import.meta.filename) {
  const app = await build()
  console.log(await app.listen({ port: 3000 }))
}
