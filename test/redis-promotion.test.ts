// The Redis store when a replica becomes the master and does not have the last writes that the old one has acknowledged.
import Fastify from 'fastify'
import { Redis } from 'ioredis'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { within } from '../lib/conformance/patience.js'
import { askInVain, granted, lock, newKey, TestTicket, waitFor } from '../lib/conformance/store/store-scene.js'
import sessionPlugin from '../lib/index.js'
import { RedisStore } from '../lib/stores/redis/index.js'
import { skipWithout } from './helpers/local-services.js'
import { type Pair, startPair } from './helpers/redis-replication.js'
import { opened, record } from './helpers/redis-scene.js'

const skip = skipWithout('redis-server')
const lease = 3000
const CLEAR_ANSWER = /^FST_SESSION_(STORE_UNAVAILABLE|LOCK_LOST|LOCK_TIMEOUT|CONFLICT)$/

function connected (t: Test, { address }: Pair): Redis {
  const client = new Redis({ port: address.port, retryStrategy: () => 20 })
  client.on('error', () => {})
  t.teardown(() => client.disconnect())
  return client
}

/** Two stores, and a session that the replica has, too. */
async function scene (t: Test): Promise<{ pair: Pair, first: RedisStore, second: RedisStore, key: string }> {
  const pair = await startPair(t)
  const first = await opened(t, { client: connected(t, pair), lease, timeout: 10_000 })
  const second = await opened(t, { client: connected(t, pair), lease, timeout: 10_000 })
  const key = newKey()
  await first.create(key, record('replicated'))
  return { pair, first, second, key }
}

t.test('S1 who holds a session with changes that the new master does not have cannot save it', { skip }, async (t) => {
  const { pair, first, second, key } = await scene(t)
  await pair.cutReplication()
  await (await lock(first, key)).save(record('lost'), { release: true })
  const stale = await lock(second, key)
  t.equal(stale.record.data, 'lost')
  await pair.promote()
  t.equal((await first.read(key))?.data, 'replicated')
  await t.rejects(stale.save(record('lost, and more')) as Promise<void>, { code: 'FST_SESSION_LOCK_LOST' })
  await t.rejects(stale.touch(record('')) as Promise<void>, { code: 'FST_SESSION_LOCK_LOST' })
  await t.rejects(stale.destroy() as Promise<void>, { code: 'FST_SESSION_LOCK_LOST' })
  await stale.release()
  const next = await lock(first, key)
  t.equal(next.record.data, 'replicated')
  await next.save(record('since'), { release: true })
  t.equal((await second.read(key))?.data, 'since')
})

t.test('S1 who holds a lock that the new master does not know can save, if nobody has come', { skip }, async (t) => {
  const { pair, first, second, key } = await scene(t)
  await pair.cutReplication()
  const held = await lock(first, key)
  await pair.promote()
  await held.save(record('of the old holder'), { release: true })
  t.equal((await second.read(key))?.data, 'of the old holder')
})

t.test('S1 who holds a lock that the new master does not know is refused while another holds it, and after that', { skip }, async (t) => {
  const { pair, first, second, key } = await scene(t)
  await pair.cutReplication()
  const stale = await lock(first, key)
  await pair.promote()
  const held = await lock(second, key)
  await t.rejects(stale.save(record('stale')) as Promise<void>, { code: 'FST_SESSION_LOCK_LOST' })
  await stale.release()
  await askInVain(first, key)
  await held.save(record('of the new holder'), { release: true })
  await t.rejects(stale.save(record('stale')) as Promise<void>, { code: 'FST_SESSION_LOCK_LOST' })
  t.equal((await first.read(key))?.data, 'of the new holder')
})

t.test('S1 who holds a lock that the new master knows saves the whole session, also what was lost of it', { skip }, async (t) => {
  const { pair, first, second, key } = await scene(t)
  const held = await lock(first, key)
  await pair.cutReplication()
  await held.save(record('lost'))
  await pair.promote()
  await askInVain(second, key)
  await held.save(record('lost, and more'), { release: true })
  t.equal((await second.read(key))?.data, 'lost, and more')
})

t.test('S2 a session that was destroyed is back when the new master does not know, and its lock can be taken', { skip }, async (t) => {
  const { pair, first, second, key } = await scene(t)
  const held = await lock(first, key)
  await pair.cutReplication()
  await held.destroy()
  t.equal(await second.read(key), null)
  await pair.promote()
  t.equal((await second.read(key))?.data, 'replicated')
  // The new master still knows the old lock; it ends with its lease.
  const next = granted(await within('to get the lock', waitFor(second, new TestTicket(key))))
  await next.destroy()
  t.equal(await first.read(key), null)
})

t.test('L6 those who wait get the lock at the new master, one after the other', { skip }, async (t) => {
  const { pair, first, second, key } = await scene(t)
  await pair.cutReplication()
  const held = await lock(first, key)
  let inside = 0
  const waiting = [first, second, second].map(async (store) => {
    const next = granted(await waitFor(store, new TestTicket(key)))
    t.equal(++inside, 1)
    await next.save(record(`${next.record.data}, one`))
    inside--
    await next.release()
  })
  await askInVain(second, key)
  await pair.promote()
  // Whoever comes first there has it now; the old holder can only find that out.
  await Promise.all(waiting)
  await t.rejects(held.save(record('stale')) as Promise<void>, { code: 'FST_SESSION_LOCK_LOST' })
  t.equal((await first.read(key))?.data, 'replicated, one, one, one')
})

t.test('S8 requests during a promotion are answered: done, 409 or 503; those after it are done', { skip }, async (t) => {
  const pair = await startPair(t)
  const apps = await Promise.all([1, 2].map(async () => {
    const app = Fastify()
    await app.register(sessionPlugin, { store: new RedisStore({ client: connected(t, pair), lease }) })
    t.teardown(() => app.close())
    app.get('/', async ({ session }) => session.set('n', session.get('n', 0) as number + 1).data())
    return app
  }))
  const cookies = { sessionId: (await apps[0]!.inject('/')).cookies[0]!.value }
  await pair.cutReplication()
  const traffic = { stopped: false, promoted: false, done: 0 }
  const since: number[] = []
  const visitors = [...apps, ...apps].map(async (app) => {
    while (!traffic.stopped) {
      const { promoted } = traffic
      const response = await within('to answer', app.inject({ url: '/', cookies }), 25_000)
      if (response.statusCode !== 200) {
        t.match(response.json().code, CLEAR_ANSWER)
        continue
      }
      traffic.done++
      if (promoted) since.push(response.json().n)
    }
  })
  const until = async (holds: () => boolean): Promise<void> => { while (!holds()) await sleep(5) }
  await until(() => traffic.done >= 20)
  await pair.promote()
  traffic.promoted = true
  await within('to go on', until(() => since.length >= 40), 25_000)
  traffic.stopped = true
  await Promise.all(visitors)
  // What was acknowledged before is lost, but since then no value is given twice.
  t.equal(new Set(since).size, since.length)
  const last = await apps[1]!.inject({ url: '/', cookies })
  t.ok(last.json().n > Math.max(...since))
})
