// The Redis store on a cluster in which a master dies and its replica takes over.
import { Cluster } from 'ioredis'
import { createHash } from 'node:crypto'
import { createCluster } from 'redis'
import t, { type Test } from 'tap'
import { within } from '../lib/conformance/patience.js'
import type { RedisStoreOptions } from '../lib/stores/redis/index.js'
import { skipWithout } from './helpers/local-services.js'
import { RedisCluster } from './helpers/redis-cluster.js'
import { CountingApps, type Cookies, until } from './helpers/redis-failover.js'
import { replicated } from './helpers/redis-replication.js'

// A client that is closed while it looks for the nodes of its cluster again may connect to them afterwards, and then the
// process would never end.
t.teardown(() => { setTimeout(() => process.exit(), 5000).unref() })

const clients: Record<string, (t: Test, ports: number[]) => Promise<RedisStoreOptions['client']>> = {
  async ioredis (t, ports) {
    const client = new Cluster(ports.map(port => ({ host: '127.0.0.1', port })))
    client.on('error', () => {})
    t.teardown(() => client.disconnect())
    return client
  },
  async 'node-redis' (t, ports) {
    const client = createCluster({ rootNodes: ports.map(port => ({ url: `redis://127.0.0.1:${port}` })) })
    client.on('error', () => {})
    await client.connect()
    t.teardown(() => client.destroy())
    return client
  }
}

for (const [name, connect] of Object.entries(clients)) {
  t.test(`after a master has died, requests go on with its replica, with ${name}`, { skip: skipWithout('redis-server') }, async (t) => {
    const cluster = await RedisCluster.start(t)
    await cluster.addReplica(t, 0)
    const apps = await CountingApps.start(t, async () => await connect(t, cluster.ports))
    // A session on the node that will die.
    let cookies: Cookies
    do cookies = await apps.newSession()
    while (await cluster.nodeOf(`session:{${createHash('sha256').update(`sessionId=${cookies.sessionId}`).digest('hex')}}`) !== 0)
    await apps.goThrough(cookies, 60_000, async (traffic) => {
      await replicated(cluster.nodes[0]!)
      await cluster.nodes[0]!.kill()
      await within('to fail', until(() => traffic.failed > 0), 30_000)
    })
  })
}
