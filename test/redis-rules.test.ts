// What is particular to the Redis store: commands per request, lost scripts, a broken subscription, a server that is away.
import Fastify from 'fastify'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { lock, newKey, TestTicket, waitFor } from '../lib/conformance/store/store-scene.js'
import sessionPlugin from '../lib/index.js'
import { RedisStore } from '../lib/stores/redis/index.js'
import { skipWithout, startRedis } from './helpers/local-services.js'
import { opened, record } from './helpers/redis-scene.js'

const skip = skipWithout('redis-server')
async function connected (t: Test, port: number): Promise<{ client: Redis, store: RedisStore }> {
  const client = new Redis({ port })
  client.on('error', () => {})
  t.teardown(() => client.disconnect())
  return { client, store: await opened(t, { client, timeout: 500 }) }
}

async function scriptCalls (admin: Redis): Promise<number> {
  return Number(/cmdstat_evalsha:calls=(\d+)/.exec(await admin.info('commandstats'))?.[1] ?? 0)
}

t.test('2 commands for a request that writes, 1 for a readonly one, 0 without a cookie; the client stays open', { skip }, async (t) => {
  const { port } = await startRedis(t)
  const client = new Redis({ port })
  t.teardown(() => client.disconnect())
  const app = Fastify()
  await app.register(sessionPlugin, { store: new RedisStore({ client }) })
  app.get('/write', async ({ session }) => session.set('n', session.get('n', 0) as number + 1).data())
  app.get('/read', { config: { session: { locking: 'readonly' } } }, async ({ session }) => session.data())
  const cookies = { sessionId: (await app.inject('/write')).cookies[0]!.value }
  for (const [url, sent, expected] of [['/write', cookies, 2], ['/read', cookies, 1], ['/read', {}, 0]] as const) {
    const before = await scriptCalls(client)
    t.equal((await app.inject({ url, cookies: sent })).statusCode, 200)
    t.equal(await scriptCalls(client) - before, expected)
  }
  await app.close()
  t.equal(await client.ping(), 'PONG')
})

t.test('L1 20 contended requests from 4 stores count to 20, with at most 3.5 commands each', { skip }, async (t) => {
  const { port } = await startRedis(t)
  const apps = await Promise.all([1, 2, 3, 4].map(async () => {
    const { client, store } = await connected(t, port)
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(sessionPlugin, { store })
    app.get('/', async ({ session }) => session.set('n', session.get('n', 0) as number + 1).data())
    return { app, client }
  }))
  const cookies = { sessionId: (await apps[0]!.app.inject('/')).cookies[0]!.value }
  const before = await scriptCalls(apps[0]!.client)
  await Promise.all(Array.from({ length: 20 }, (_, n) => apps[n % 4]!.app.inject({ url: '/', cookies })))
  const used = await scriptCalls(apps[0]!.client) - before
  t.ok(used <= 70, `${used} commands`)
  t.equal((await apps[1]!.app.inject({ url: '/', cookies })).json().n, 22)
})

t.test('scripts that the server has forgotten are sent again', { skip }, async (t) => {
  const { client, store } = await connected(t, (await startRedis(t)).port)
  const key = newKey()
  await store.create(key, record('1'))
  const lease = await lock(store, key)
  await client.script('FLUSH')
  await lease.save(record('2'), { release: true })
  t.equal((await store.read(key))?.data, '2')
})

t.test('L7 who waits gets the lock although its subscription was cut', { skip }, async (t) => {
  const { client, store } = await connected(t, (await startRedis(t)).port)
  const key = newKey()
  await store.create(key, record('1'))
  const lease = await lock(store, key)
  const ticket = new TestTicket(key)
  t.equal((await store.acquire(ticket))?.outcome, 'busy')
  t.ok(Number(await client.call('CLIENT', 'KILL', 'TYPE', 'pubsub')) > 0)
  await lease.save(record('2'), { release: true })
  const next = await waitFor(store, ticket)
  t.equal(next?.outcome === 'granted' && next.record.data, '2')
})

t.test('S6 a server that is away is an error, not a hang', { skip }, async (t) => {
  const service = await startRedis(t)
  const { store } = await connected(t, service.port)
  await service.kill()
  await t.rejects(async () => await store.acquire(new TestTicket(newKey())), { code: 'FST_SESSION_STORE_UNAVAILABLE' })
})
