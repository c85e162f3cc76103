// A hijacked reply over a network store. hijack() cannot wait for the save, so the client may be answered before it.
// The save is kept back by a proxy in front of Redis, so that it surely is.
import Fastify, { type FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import sessionPlugin from '../lib/index.js'
import { RedisStore } from '../lib/stores/redis/index.js'
import { type Answer, hangUp, send, Visitor } from './helpers/http-client.js'
import { type Service, skipWithout, startRedis } from './helpers/local-services.js'
import { addSessionRoutes } from './helpers/session-routes.js'
import { TcpProxy } from './helpers/tcp-proxy.js'

async function newServer (t: Test, port: number, add: (app: FastifyInstance) => void = () => {}): Promise<number> {
  const client = new Redis({ host: '127.0.0.1', port })
  client.on('error', () => {})
  const app = Fastify({ forceCloseConnections: true })
  await app.register(sessionPlugin, { store: new RedisStore({ client, timeout: 20_000 }), touchInterval: 0 })
  addSessionRoutes(app)
  add(app)
  await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(async () => {
    hangUp()
    await app.close()
    client.disconnect()
  })
  return (app.addresses()[0] as { port: number }).port
}

/** One server whose hijacked replies are sent while what it saves is kept back, and another beside it. */
async function newScene (t: Test, redis: Service) {
  const proxy = await TcpProxy.start(t, redis.port)
  let saved = (): void => {}
  const saving = new Promise<void>((resolve) => { saved = resolve })
  const here = await newServer(t, proxy.port, (app) => {
    app.post('/hijack', async ({ session }, reply) => {
      session.set('n', session.get('n', 0) + 1)
      proxy.hold()
      reply.hijack().raw.end('{}')
    })
    app.post('/commit', async ({ session }, reply) => {
      session.set('n', session.get('n', 0) + 1)
      proxy.hold()
      await session.commit()
      saved()
      reply.hijack().raw.end('{}')
    })
  })
  return { proxy, saving, here, there: await newServer(t, redis.port) }
}

/** Whether it is still without an answer after others have been asked and answered. */
async function isWaiting (request: Promise<Answer>, port: number): Promise<boolean> {
  let answered = false
  const settled = () => { answered = true }
  request.then(settled, settled)
  for (let i = 0; i < 20; i++) await send(port, 'POST', '/begin')
  return !answered
}

t.test('hijacked replies', { skip: skipWithout('redis-server') }, async (t) => {
  const redis = await startRedis(t)

  for (const where of ['here', 'there'] as const) {
    t.test(`L1: the lock is held until what was changed before hijack() is saved: the next request, ${where}, waits and sees it`, async (t) => {
      const { proxy, ...ports } = await newScene(t, redis)
      const visitor = new Visitor(ports.here)
      await visitor.post('/begin')
      t.equal((await visitor.post('/hijack')).status, 200)
      t.equal((await visitor.at(ports.there).get('/peek')).body.n, 0, 'a reader does not wait')
      const next = visitor.at(ports[where]).post('/increment')
      t.ok(await isWaiting(next, ports.there))
      proxy.letGo()
      t.equal((await next).body.n, 2)
    })
  }

  t.test('who commits before hijack() answers when the session is stored', async (t) => {
    const { proxy, saving, here, there } = await newScene(t, redis)
    const visitor = new Visitor(here)
    const answering = visitor.post('/commit')
    t.ok(await isWaiting(answering, there))
    proxy.letGo()
    await saving
    t.ok((await answering).cookie, 'a new session has its cookie')
    t.equal((await visitor.at(there).get('/peek')).body.n, 1)
    t.equal((await visitor.at(there).post('/increment')).body.n, 2)
  })
})
