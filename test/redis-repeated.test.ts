// The Redis store when answers get lost: the client sends the command again, and it has to count once.
import { Redis } from 'ioredis'
import { Redis as Valkey } from 'iovalkey'
import t, { type Test } from 'tap'
import { within } from '../lib/conformance/patience.js'
import { askInVain, granted, lock, newKey, TestTicket, waitFor } from '../lib/conformance/store/store-scene.js'
import type { RedisStore } from '../lib/stores/redis/index.js'
import { skipWithout, startRedis } from './helpers/local-services.js'
import { opened, record } from './helpers/redis-scene.js'
import { TcpProxy } from './helpers/tcp-proxy.js'

const skip = skipWithout('redis-server')
/** Longer than any test, so that only a release can free a lock. */
const lease = 120_000

interface Scene {
  /** Its answers can get lost. */
  store: RedisStore
  /** Its answers do not. */
  other: RedisStore
  /** Runs `action`; the answer to its first script gets lost, and until `meanwhile` is over the server is out of reach. */
  repeated<T> (action: () => Promise<T> | T, meanwhile?: () => Promise<void>): Promise<T>
  /** A session that is there. */
  key: string
}

async function scene (t: Test, Client = Redis as new (options: object) => Redis, options: object = {}, timeout = 10_000): Promise<Scene> {
  const { port } = await startRedis(t)
  const proxy = await TcpProxy.start(t, port)
  const make = async (Client: new (options: object) => Redis, port: number, more: object = {}) => {
    const client = new Client({ port, retryStrategy: () => 20, ...more })
    client.on('error', () => {})
    t.teardown(() => client.disconnect())
    return await opened(t, { client, lease, timeout })
  }
  const store = await make(Client, proxy.port, options)
  const other = await make(Redis, port)
  const key = newKey()
  await other.create(key, record('0'))
  // The server knows the scripts then.
  await (await lock(other, key)).release()
  const first = newKey()
  await other.create(first, record('0'))
  await (await lock(other, first)).destroy()
  return {
    store,
    other,
    key,
    async repeated (action, meanwhile = async () => {}) {
      const lost = proxy.loseAnswerTo(/evalsha/i)
      const result = action()
      if (result instanceof Promise) result.catch(() => {})
      await lost
      await meanwhile()
      proxy.accept()
      return await result
    }
  }
}

for (const [name, Client] of [['ioredis', Redis], ['iovalkey', Valkey as unknown as typeof Redis]] as const) {
  t.test(`${name} sends a command again whose answer was lost`, { skip }, async (t) => {
    t.test('acquire() of a free lock locks once', async (t) => {
      const { store, other, key, repeated } = await scene(t, Client)
      const lease = granted(await repeated(() => store.acquire(new TestTicket(key))))
      await lease.save(record('1'), { release: true })
      t.equal(granted(await other.acquire(new TestTicket(key))).record.data, '1')
    })

    t.test('acquire() of a lock that is held waits in one place', async (t) => {
      const { store, other, key, repeated } = await scene(t, Client)
      const held = await lock(other, key)
      const ticket = new TestTicket(key)
      t.equal((await repeated(() => store.acquire(ticket)))?.outcome, 'busy')
      await held.release()
      await granted(await waitFor(store, ticket)).release()
      // With a second place the lock would wait there for somebody who is gone.
      await granted(await other.acquire(new TestTicket(key))).release()
    })

    t.test('save() that keeps the lock, and a second one after it', async (t) => {
      const { store, other, key, repeated } = await scene(t, Client)
      const lease = await lock(store, key)
      await repeated(() => lease.save(record('1')))
      await askInVain(other, key)
      await lease.save(record('2'), { release: true })
      t.equal((await other.read(key))?.data, '2')
    })

    t.test('S1 save() that releases, after the next holders have saved: it is no LOCK_LOST, and what they saved stays', async (t) => {
      const { store, other, key, repeated } = await scene(t, Client)
      const lease = await lock(store, key)
      await repeated(() => lease.save(record('1'), { release: true }), async () => {
        for (const expected of ['1', '2', '3']) {
          const next = await lock(other, key)
          t.equal(next.record.data, expected)
          await next.save(record(String(Number(expected) + 1)), { release: true })
        }
      })
      t.equal((await other.read(key))?.data, '4')
      await lease.release()
    })

    t.test('touch() that releases, while the next one holds the lock', async (t) => {
      const { store, other, key, repeated } = await scene(t, Client)
      const lease = await lock(store, key)
      const { expiresAt } = record('')
      let next
      await repeated(() => lease.touch({ lastAccessedAt: 1, expiresAt }, { release: true }), async () => {
        next = await lock(other, key)
        await next.touch({ lastAccessedAt: 2, expiresAt })
      })
      t.equal((await store.read(key))?.lastAccessedAt, 2)
      t.equal((await store.acquire(new TestTicket(key)))?.outcome, 'busy', 'it is still the other one that holds it')
    })

    t.test('S2 save() that releases, after the next holder has destroyed the session', async (t) => {
      const { store, other, key, repeated } = await scene(t, Client)
      const lease = await lock(store, key)
      await repeated(() => lease.save(record('1'), { release: true }), async () => {
        await (await lock(other, key)).destroy()
      })
      t.equal(await other.read(key), null)
    })

    t.test('L6 release(): what the next one holds is not released', async (t) => {
      const { store, other, key, repeated } = await scene(t, Client)
      const lease = await lock(store, key)
      await repeated(() => lease.release(), async () => { await lock(other, key) })
      await askInVain(store, key)
    })

    t.test('destroy()', async (t) => {
      const { store, other, key, repeated } = await scene(t, Client)
      const lease = await lock(store, key)
      await repeated(() => lease.destroy())
      t.equal(await other.read(key), null)
    })

    t.test('create(): the session that is there is its own', async (t) => {
      const { store, other, repeated } = await scene(t, Client)
      const key = newKey()
      await repeated(() => store.create(key, record('mine')))
      t.equal((await other.read(key))?.data, 'mine')
      await t.rejects(other.create(key, record('not mine')), { code: 'FST_SESSION_CONFLICT' })
    })
  })
}

t.test('a client that does not send again', { skip }, async (t) => {
  const once = { maxRetriesPerRequest: 0 }

  for (const [way, options, timeout] of [['reports the error', once, 10_000], ['says nothing', { autoResendUnfulfilledCommands: false }, 1000]] as const) {
    t.test(`S6 a lock whose grant got lost does not stay until its lease ends (the client ${way})`, async (t) => {
      const { store, other, key, repeated } = await scene(t, Redis, options, timeout)
      await t.rejects(repeated(() => store.acquire(new TestTicket(key))), { code: 'FST_SESSION_STORE_UNAVAILABLE' })
      const next = await within('to get the lock', waitFor(other, new TestTicket(key)))
      t.equal(next?.outcome, 'granted')
    })
  }

  t.test('S6 a save whose answer got lost is an error, though it may have happened; the session is whole and free', async (t) => {
    const { store, other, key, repeated } = await scene(t, Redis, once)
    const lease = await lock(store, key)
    await t.rejects(repeated(() => lease.save(record('1'), { release: true })), { code: 'FST_SESSION_STORE_UNAVAILABLE' })
    await lease.release()
    t.equal((await lock(other, key)).record.data, '1')
  })
})

t.test('S8 after a save that got no answer the release is not waited for', { skip }, async (t) => {
  const service = await startRedis(t)
  const client = new Redis({ port: service.port })
  t.teardown(() => client.disconnect())
  const store = await opened(t, { client, lease, timeout: 500 })
  const key = newKey()
  await store.create(key, record('0'))
  const held = await lock(store, key)
  await service.freeze()
  try {
    await t.rejects(held.save(record('1'), { release: true }) as Promise<void>, { code: 'FST_SESSION_STORE_UNAVAILABLE' })
    // A wait for the server would end with the same error.
    await held.release()
  } finally {
    service.thaw()
  }
  t.equal((await lock(store, key)).record.data, '1', 'it was only late')
})

t.test('L7 who has lost its subscription keeps its place, and is not passed by those behind it', { skip }, async (t) => {
  const { port } = await startRedis(t)
  const proxy = await TcpProxy.start(t, port)
  const clients = [1, 2, 3].map(() => new Redis({ port }))
  t.teardown(() => { for (const client of clients) client.disconnect() })
  const [holding, deaf, behind] = clients as [Redis, Redis, Redis]
  deaf.duplicate = (() => new Redis({ port: proxy.port, retryStrategy: () => 20 })) as unknown as typeof deaf.duplicate
  const [holder, second, third] = await Promise.all([holding, deaf, behind].map(async client => await opened(t, { client, lease })))
  const key = newKey()
  await holder!.create(key, record('0'))
  const held = await lock(holder!, key)
  const [early, late] = [new TestTicket(key), new TestTicket(key)]
  t.equal((await second!.acquire(early))?.outcome, 'busy')
  t.equal((await third!.acquire(late))?.outcome, 'busy')
  const noticed = early.woken(10_000)
  proxy.refuse()
  await noticed
  const answer = await second!.acquire(early)
  t.ok(answer?.outcome === 'busy' && answer.retryAfter < 1000, 'it asks more often now')
  await held.save(record('1'), { release: true })
  t.equal((await third!.acquire(late))?.outcome, 'busy')
  const next = granted(await second!.acquire(early))
  t.equal(next.record.data, '1')
  const heard = late.woken(10_000)
  await next.release()
  await heard
  granted(await third!.acquire(late))
})
