// The plugin with the Redis store on a cluster of three real servers.
import { Cluster } from 'ioredis'
import { createCluster } from 'redis'
import t, { type Test } from 'tap'
import { httpConformance } from '../lib/conformance/index.js'
import type { RedisStoreOptions } from '../lib/stores/redis/index.js'
import { skipWithout } from './helpers/local-services.js'
import { RedisCluster } from './helpers/redis-cluster.js'
import { optionsFor } from './helpers/redis-suites.js'

const connect: Record<string, (t: Test, port: number) => Promise<RedisStoreOptions['client']>> = {
  async ioredis (t, port) {
    const client = new Cluster([{ host: '127.0.0.1', port }])
    t.teardown(() => client.disconnect())
    return client
  },
  async 'node-redis' (t, port) {
    const client = createCluster({ rootNodes: [{ url: `redis://127.0.0.1:${port}` }] })
    client.on('error', () => {})
    await client.connect()
    t.teardown(() => client.destroy())
    return client
  }
}

t.test('the conformance suite for the plugin, on a cluster of three servers', { skip: skipWithout('redis-server') }, async (t) => {
  const cluster = await RedisCluster.start(t)
  for (const [name, client] of Object.entries(connect)) {
    await t.test(`with ${name}`, async (t) => {
      const [first, , last] = cluster.ports
      const nodeOf = async (key: string) => cluster.admins[await cluster.nodeOf(key)]!
      const options = optionsFor(await client(t, first!), nodeOf, await client(t, last!))
      for (const { name, run } of httpConformance(options)) await t.test(name, run)
    })
  }
})
