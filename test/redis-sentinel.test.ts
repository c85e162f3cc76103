// The Redis store behind Sentinel: the master goes, a replica takes over, and requests go on.
import Fastify, { type FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import { createSentinel } from 'redis'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { within } from '../lib/conformance/patience.js'
import sessionPlugin from '../lib/index.js'
import { RedisStore, type RedisStoreOptions } from '../lib/stores/redis/index.js'
import { type Service, skipWithout, startRedis } from './helpers/local-services.js'
import { replicated, startReplica, startSentinel } from './helpers/redis-replication.js'

const clients: Record<string, (t: Test, port: number) => Promise<RedisStoreOptions['client']>> = {
  async ioredis (t, port) {
    const client = new Redis({ sentinels: [{ host: '127.0.0.1', port }], name: 'main' })
    client.on('error', () => {})
    t.teardown(() => client.disconnect())
    return client
  },
  async 'node-redis' (t, port) {
    const client = createSentinel({ name: 'main', sentinelRootNodes: [{ host: '127.0.0.1', port }] })
    client.on('error', () => {})
    await client.connect()
    t.teardown(() => client.destroy())
    return client
  }
}

const ends: Record<string, (master: Service, sentinel: Redis) => Promise<unknown>> = {
  'has died': async master => await master.kill(),
  'was told to step down': async (_master, sentinel) => {
    // Sentinel looks at its replicas once a second or less often, and refuses until it knows a good one.
    const accepted = () => sentinel.call('SENTINEL', 'FAILOVER', 'main').catch((error: Error) => /NOGOODSLAVE/.test(error.message) ? null : Promise.reject(error))
    while (await accepted() === null) await sleep(200)
  }
}

for (const [name, connect, way, end] of Object.entries(clients).flatMap(client => Object.entries(ends).map(end => [...client, ...end] as const))) {
  t.test(`after the master ${way}, requests go on with the new one, with ${name}`, { skip: skipWithout('redis-server') }, async (t) => {
    const master = await startRedis(t, ['--repl-diskless-sync-delay', '0'])
    const replica = await startReplica(t, master.port)
    const sentinel = await startSentinel(t, master)
    const apps = await Promise.all([1, 2].map(async () => await application(t, await connect(t, sentinel.port))))
    const cookies = { sessionId: (await apps[0]!.inject('/')).cookies[0]!.value }
    const traffic = { done: 0, failed: 0, stopped: false }
    const visitors = [...apps, ...apps].map(async (app) => {
      while (!traffic.stopped) {
        const response = await within('to answer', app.inject({ url: '/', cookies }), 25_000)
        if (response.statusCode === 200) {
          traffic.done++
        } else {
          traffic.failed++
          t.match(response.json().code, /^FST_SESSION_(STORE_UNAVAILABLE|LOCK_LOST|LOCK_TIMEOUT|CONFLICT)$/)
          await sleep(50)
        }
      }
    })
    const until = async (holds: () => boolean | Promise<boolean>): Promise<void> => { while (!(await holds())) await sleep(20) }
    await until(() => traffic.done >= 20)
    await replicated(master)
    const [admin, sentinelAdmin] = [new Redis({ port: replica.port }), new Redis({ port: sentinel.port })]
    t.teardown(() => { admin.disconnect(); sentinelAdmin.disconnect() })
    await end(master, sentinelAdmin)
    await within('to promote the replica', until(async () => (await admin.info('replication')).includes('role:master')), 40_000)
    const before = traffic.done
    await within('to go on', until(() => traffic.done >= before + 20), 30_000)
    traffic.stopped = true
    await Promise.all(visitors)
    t.comment(`${traffic.failed} requests failed meanwhile`)
    const counts: number[] = []
    for (const app of [...apps, ...apps]) counts.push((await app.inject({ url: '/', cookies })).json().n)
    t.equal(await apps[0]!.sessions.count(), 1)
    t.same(counts, [0, 1, 2, 3].map(n => counts[0]! + n))
  })
}

async function application (t: Test, client: RedisStoreOptions['client']): Promise<FastifyInstance> {
  const app = Fastify()
  await app.register(sessionPlugin, { store: new RedisStore({ client, lease: 2000 }) })
  t.teardown(() => app.close())
  app.get('/', async ({ session }) => session.set('n', session.get('n', 0) as number + 1).data())
  return app
}
