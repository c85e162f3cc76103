// The Redis store on a cluster in which a master dies and its replica takes over.
import Fastify from 'fastify'
import { Cluster } from 'ioredis'
import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { createCluster } from 'redis'
import t, { type Test } from 'tap'
import { within } from '../lib/conformance/patience.js'
import sessionPlugin from '../lib/index.js'
import { RedisStore, type RedisStoreOptions } from '../lib/stores/redis/index.js'
import { skipWithout } from './helpers/local-services.js'
import { RedisCluster } from './helpers/redis-cluster.js'
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
    const apps = await Promise.all([1, 2].map(async () => {
      const app = Fastify()
      await app.register(sessionPlugin, { store: new RedisStore({ client: await connect(t, cluster.ports), lease: 2000 }) })
      t.teardown(() => app.close())
      app.get('/', async ({ session }) => session.set('n', session.get('n', 0) as number + 1).data())
      return app
    }))
    // A session on the node that will die.
    let cookies = { sessionId: '' }
    do {
      cookies = { sessionId: (await apps[0]!.inject('/')).cookies[0]!.value }
    } while (await cluster.nodeOf(`session:{${createHash('sha256').update(`sessionId=${cookies.sessionId}`).digest('hex')}}`) !== 0)
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
    await replicated(cluster.nodes[0]!)
    await cluster.nodes[0]!.kill()
    await within('to fail', until(() => traffic.failed > 0), 30_000)
    const before = traffic.done
    await within('to go on', until(() => traffic.done >= before + 20), 60_000)
    traffic.stopped = true
    await Promise.all(visitors)
    t.comment(`${traffic.failed} requests failed meanwhile`)
    const counts: number[] = []
    for (const app of [...apps, ...apps]) counts.push((await app.inject({ url: '/', cookies })).json().n)
    t.same(counts, [0, 1, 2, 3].map(n => counts[0]! + n))
  })
}
