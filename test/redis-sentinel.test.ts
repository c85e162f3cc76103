// The Redis store behind Sentinel: the master goes, a replica takes over, and requests go on.
import { Redis } from 'ioredis'
import { createSentinel } from 'redis'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { within } from '../lib/conformance/patience.js'
import type { RedisStoreOptions } from '../lib/stores/redis/index.js'
import { type Service, skipWithout, startRedis } from './helpers/local-services.js'
import { CountingApps, until } from './helpers/redis-failover.js'
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
    const [admin, sentinelAdmin] = [new Redis({ port: replica.port }), new Redis({ port: sentinel.port })]
    t.teardown(() => { admin.disconnect(); sentinelAdmin.disconnect() })
    const apps = await CountingApps.start(t, async () => await connect(t, sentinel.port))
    await apps.goThrough(await apps.newSession(), 30_000, async () => {
      await replicated(master)
      await end(master, sentinelAdmin)
      await within('to promote the replica', until(async () => (await admin.info('replication')).includes('role:master')), 40_000)
    })
    t.equal(await apps.stored(), 1)
  })
}
