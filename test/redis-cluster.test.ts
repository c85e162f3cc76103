// The Redis store on a cluster of three real servers.
import { Cluster } from 'ioredis'
import { createCluster } from 'redis'
import t, { type Test } from 'tap'
import { askInVain, granted, lock, newKey, TestTicket, waitFor } from '../lib/conformance/store/store-scene.js'
import { within } from '../lib/conformance/patience.js'
import { storeConformance } from '../lib/conformance/index.js'
import type { RedisStore, RedisStoreOptions } from '../lib/stores/redis/index.js'
import { skipWithout } from './helpers/local-services.js'
import { RedisCluster } from './helpers/redis-cluster.js'
import { opened, record } from './helpers/redis-scene.js'
import { optionsFor } from './helpers/redis-suites.js'

type Client = RedisStoreOptions['client']

t.test('a cluster of three servers', { skip: skipWithout('redis-server') }, async (t) => {
  const cluster = await RedisCluster.start(t)
  const rootNodes = cluster.ports.map(port => ({ url: `redis://127.0.0.1:${port}` }))
  const clients: Record<string, (t: Test, first?: number) => Promise<Client>> = {
    async ioredis (t, first = 0) {
      const client = new Cluster([{ host: '127.0.0.1', port: cluster.ports[first]! }])
      t.teardown(() => client.disconnect())
      return client
    },
    async 'node-redis' (t, first = 0) {
      const client = createCluster({ rootNodes: [rootNodes[first]!] })
      client.on('error', () => {})
      await client.connect()
      t.teardown(() => client.destroy())
      return client
    }
  }
  for (const [name, connect] of Object.entries(clients)) {
    t.test(`the conformance suite for stores, with ${name}`, async (t) => {
      const nodeOf = async (key: string) => cluster.admins[await cluster.nodeOf(key)]!
      const options = optionsFor(await connect(t, 0), nodeOf, await connect(t, 2))
      for (const { name, run } of storeConformance(options)) await t.test(name, run)
    })

    t.test(`L1 the lock is handed over, with the session, between stores that listen on different nodes, with ${name}`, async (t) => {
      // A client listens on a node that it chooses at random, so open some more until they are not all on one.
      const stores: RedisStore[] = []
      while (stores.length < 3 || await nodesListenedOn(cluster, 'over:') < 2) {
        stores.push(await opened(t, { client: await connect(t, stores.length % 3), prefix: 'over:' }))
      }
      const [first, ...others] = stores
      for (const node of cluster.ports.keys()) {
        const key = await keyOn(cluster, node, 'over:')
        await first!.create(key, record('0'))
        let lease = await lock(first!, key)
        const tickets = others.map(() => new TestTicket(key))
        for (const [n, store] of others.entries()) t.equal((await store.acquire(tickets[n]!))?.outcome, 'busy')
        for (const [n, store] of others.entries()) {
          const told = tickets[n]!.woken(10_000)
          await lease.save(record(String(n + 1)), { release: true })
          await told
          t.equal(tickets[n]!.wakes, 1)
          lease = granted(await store.acquire(tickets[n]!))
          t.equal(lease.record.data, String(n + 1))
        }
        await lease.release()
      }
    })

    t.test(`entries(), count() and prune() look at every node, with ${name}`, async (t) => {
      const store = await opened(t, { client: await connect(t), prefix: 'all:' })
      const keys = await Promise.all(Array.from({ length: 30 }, async (_, n) => await keyOn(cluster, n % 3, 'all:')))
      for (const key of keys) await store.create(key, record('1'))
      const found = []
      for await (const [key] of store.entries()) found.push(key)
      t.same(found.sort(), keys.sort())
      t.equal(await store.count(), 30)
      t.same(await store.prune({ idleSince: Date.now() + 60_000 }), { deleted: 30, remaining: 0 })
    })

    t.test(`L7 who has gone while it waited costs no more than a claim, with ${name}`, async (t) => {
      const options = { prefix: 'gone:', lease: 120_000, claim: 400 }
      const first = await opened(t, { client: await connect(t, 0), ...options })
      const gone = await opened(t, { client: await connect(t, 1), ...options })
      const key = await keyOn(cluster, 2, 'gone:')
      await first.create(key, record('0'))
      const held = await lock(first, key)
      await askInVain(gone, key)
      const waiting = waitFor(first, new TestTicket(key))
      await gone.close()
      await held.release()
      granted(await within('to get the lock', waiting))
    })

    t.test(`a session whose slot moves to another node keeps its lock and those who wait, with ${name}`, async (t) => {
      const store = await opened(t, { client: await connect(t, 0), prefix: 'moves:' })
      const other = await opened(t, { client: await connect(t, 1), prefix: 'moves:' })
      const key = await keyOn(cluster, 0, 'moves:')
      const slot = await cluster.slotOf(`moves:{${key}}`)
      await store.create(key, record('0'))
      const lease = await lock(store, key)
      const tickets = Array.from({ length: 3 }, () => new TestTicket(key))
      for (const ticket of tickets) t.equal((await other.acquire(ticket))?.outcome, 'busy')
      const values: unknown[] = []
      const pass = async (ticket: TestTicket) => {
        const next = granted(await waitFor(other, ticket))
        values.push(next.record.data)
        await next.save(record(String(values.length + 1)), { release: true })
      }
      await cluster.moveSlot(slot, 0, 1, {
        // Still where it was, though the slot is about to move.
        async marked () {
          await lease.save(record('1'), { release: true })
          await pass(tickets[0]!)
        },
        // There already, though the slot is not: ASK.
        async moved () {
          await pass(tickets[1]!)
          t.equal((await store.read(key))?.data, '3')
        }
      })
      // MOVED.
      await pass(tickets[2]!)
      t.same(values, ['1', '2', '3'])
      t.equal((await store.read(key))?.data, '4')
      t.equal(await cluster.nodeOf(`moves:{${key}}`), 1)
      await cluster.moveSlot(slot, 1, 0)
    })
  }

  t.test('L1 sixty increments from three stores lose nothing while the slot moves there and back', async (t) => {
    const key = await keyOn(cluster, 2, 'count:')
    const slot = await cluster.slotOf(`count:{${key}}`)
    const stores = await Promise.all(cluster.ports.map(async (_, n) =>
      await opened(t, { client: await clients[n === 1 ? 'node-redis' : 'ioredis']!(t, n), prefix: 'count:' })))
    await stores[0]!.create(key, record('0'))
    const counting = stores.map(async (store) => {
      for (let n = 0; n < 20; n++) {
        const lease = await lock(store, key)
        await lease.save(record(String(Number(lease.record.data) + 1)), { release: true })
      }
    })
    for (const [from, to] of [[2, 0], [0, 1], [1, 2]] as const) await cluster.moveSlot(slot, from, to)
    await Promise.all(counting)
    t.equal((await stores[0]!.read(key))?.data, '60')
  })
})

async function keyOn (cluster: RedisCluster, node: number, prefix: string): Promise<string> {
  for (;;) {
    const key = newKey()
    if (await cluster.nodeOf(`${prefix}{${key}}`) === node) return key
  }
}

async function nodesListenedOn (cluster: RedisCluster, prefix: string): Promise<number> {
  const channels = await Promise.all(cluster.admins.map(async admin => await admin.pubsub('CHANNELS', `${prefix}*`) as unknown[]))
  return channels.filter(({ length }) => length > 0).length
}
