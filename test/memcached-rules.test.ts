// What is particular to memcached: packets, evictions, restarts, several servers, hostile replies.
import { randomBytes } from 'node:crypto'
import { createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import sessionPlugin, { type Lease, type SessionRecord, type Store, type Ticket } from '../lib/index.js'
import { MemcachedStore, type MemcachedStoreOptions } from '../lib/stores/memcached/index.js'
import { type Reply, ReplyParser } from '../lib/stores/memcached/meta-protocol.js'
import { parseAddress, ServerRing } from '../lib/stores/memcached/server-ring.js'
import { Visitor } from './helpers/documentation.js'
import { type Service, skipWithout, startMemcached } from './helpers/local-services.js'
import { MemcachedSpy } from './helpers/memcached-spy.js'
import { TcpProxy } from './helpers/tcp-proxy.js'

const SERVER = { skip: skipWithout('memcached') }
const HOUR = 60 * 60_000
const LOST = { code: 'FST_SESSION_LOCK_LOST' }

const addressOf = ({ host, port }: Service) => `${host}:${port}`
const newKey = () => randomBytes(32).toString('hex')

class TestTicket implements Ticket {
  readonly deadline = Infinity
  readonly method = 'GET'
  readonly route = '/test'
  constructor (readonly key: string, readonly maxHold = 60_000) {}
  wake (): void {}
}

function record (values: Partial<SessionRecord> = {}): SessionRecord {
  const now = Date.now()
  return { data: '{"n":1}', createdAt: now, lastAccessedAt: now, expiresAt: now + HOUR, user: null, ...values }
}

async function openStore (t: Test, options: MemcachedStoreOptions, maxRecordSize = 1024 * 1024): Promise<MemcachedStore> {
  const store = new MemcachedStore(options)
  const log = () => {}
  store.open({ now: Date.now, maxRecordSize, log: { debug: log, warn: log, error: log } })
  t.teardown(async () => { await store.close() })
  return store
}

async function storedIn (store: Store, values?: Partial<SessionRecord>): Promise<string> {
  const key = newKey()
  await store.create(key, record(values))
  return key
}

async function lock (store: Store, key: string, ticket = new TestTicket(key)): Promise<Lease> {
  for (;;) {
    const answer = await store.acquire(ticket)
    if (answer?.outcome === 'granted') return answer
    if (answer?.outcome !== 'busy') throw new Error(`not granted: ${answer?.outcome}`)
    await sleep(answer.retryAfter)
  }
}

async function appOn (t: Test, store: Store, options: object = {}): Promise<FastifyInstance> {
  const app = Fastify()
  await app.register(sessionPlugin, { store, cleanupInterval: 0, ...options })
  app.post('/increment', async ({ session, query }) => {
    const n = session.get('n', 0) as number
    await sleep(Number((query as { work?: string }).work ?? 0))
    session.set('n', n + 1)
    return { n: n + 1 }
  })
  app.get('/peek', { config: { session: { locking: 'readonly' } } }, async ({ session }) => ({ n: session.get('n') }))
  app.get('/visit', async ({ session }) => ({ n: session.get('n') }))
  app.get('/none', { config: { session: false } }, async () => ({}))
  t.teardown(() => app.close())
  return app
}

t.test('packets: 2 for a request that writes, 1 for a readonly one, 0 without a session', SERVER, async (t) => {
  const memcached = await startMemcached(t)
  const proxy = await TcpProxy.start(t, memcached.port)
  const app = await appOn(t, new MemcachedStore({ servers: proxy.address }))
  const visitor = new Visitor(app)
  await visitor.send('POST', '/increment')
  proxy.packets()
  t.same((await visitor.send('POST', '/increment')).json(), { n: 2 })
  t.equal(proxy.packets(), 2, 'lock and load, save and unlock')
  t.same((await visitor.send('GET', '/visit')).json(), { n: 2 })
  t.equal(proxy.packets(), 2, 'lock and load, unlock')
  t.same((await visitor.send('GET', '/peek')).json(), { n: 2 })
  t.equal(proxy.packets(), 1)
  await visitor.send('GET', '/none')
  await new Visitor(app).send('GET', '/visit')
  t.equal((await app.inject({ url: '/no-such-route' })).statusCode, 404)
  t.equal(proxy.packets(), 0)
})

t.test('S4: a session that is not known leaves nothing on the server, no lock either', SERVER, async (t) => {
  const memcached = await startMemcached(t)
  const spy = await MemcachedSpy.connect(t, memcached.port)
  const store = await openStore(t, { servers: addressOf(memcached) })
  const key = newKey()
  t.equal(await store.acquire(new TestTicket(key)), null)
  t.equal(await store.read(key), null)
  t.equal(await spy.has(`session:lock:${key}`), false)
  t.equal(await spy.items(), 0)
})

for (const [what, empty] of Object.entries({
  flush_all: async (_service: Service, spy: () => Promise<MemcachedSpy>) => { await (await spy()).flush() },
  'a restart': async (service: Service) => {
    await service.kill()
    await service.restart()
  }
})) {
  t.test(`S1 S2: ${what} under a request: its save is refused and the session stays gone`, SERVER, async (t) => {
    const memcached = await startMemcached(t)
    const store = await openStore(t, { servers: addressOf(memcached) })
    for (const way of ['save', 'touch', 'destroy'] as const) {
      const key = await storedIn(store)
      const lease = await lock(store, key)
      await empty(memcached, () => MemcachedSpy.connect(t, memcached.port))
      const write = async () => {
        if (way === 'destroy') await lease.destroy({ movedTo: newKey() })
        else await lease[way](record({ data: '{"n":2}' }), { release: true })
      }
      // The first may only notice that the connection has gone with the server.
      await t.rejects(write())
      await t.rejects(write(), LOST)
      await lease.release()
      t.equal(await store.read(key), null)
      const spy = await MemcachedSpy.connect(t, memcached.port)
      for (const item of ['data', 'lock', 'moved']) t.equal(await spy.has(`session:${item}:${key}`), false, item)
    }
  })
}

t.test('S1: the same session made anew after a restart is not overwritten, although its CAS comes again', SERVER, async (t) => {
  const memcached = await startMemcached(t)
  const store = await openStore(t, { servers: addressOf(memcached) })
  const second = await openStore(t, { servers: addressOf(memcached) })
  const key = await storedIn(store)
  const lease = await lock(store, key)
  await memcached.kill()
  await memcached.restart()
  // The same number of changes as before the restart.
  await second.create(key, record({ data: '{"n":7}' }))
  const holder = await lock(second, key)
  await t.rejects(async () => { await lease.save(record({ data: '{"n":2}' }), { release: true }) }, LOST)
  await lease.release()
  t.equal((await store.acquire(new TestTicket(key)))?.outcome, 'busy', 'the lock of the new holder is still there')
  await holder.release()
  await t.rejects(async () => { await lease.save(record({ data: '{"n":2}' })) }, LOST)
  t.equal((await store.read(key))?.data, '{"n":7}')
})

t.test('S1: a lock that is evicted while it is held loses no update', SERVER, async (t) => {
  const memcached = await startMemcached(t)
  const spy = await MemcachedSpy.connect(t, memcached.port)
  const store = await openStore(t, { servers: addressOf(memcached) })
  const second = await openStore(t, { servers: addressOf(memcached) })
  const key = await storedIn(store)

  await t.test('the first to save wins, the other is refused', async (t) => {
    const lease = await lock(store, key)
    await spy.delete(`session:lock:${key}`)
    const other = await lock(second, key)
    await other.save(record({ data: '{"n":2}' }), { release: true })
    await t.rejects(async () => { await lease.save(record({ data: '{"n":3}' }), { release: true }) }, LOST)
    t.equal((await store.read(key))?.data, '{"n":2}')
  })

  await t.test('the release does not free the lock of another', async (t) => {
    const lease = await lock(store, key)
    await spy.delete(`session:lock:${key}`)
    const other = await lock(second, key)
    await lease.release()
    t.equal((await store.acquire(new TestTicket(key)))?.outcome, 'busy')
    await other.release()
  })

  await t.test('nobody came: the save is accepted', async (t) => {
    const lease = await lock(store, key)
    await spy.delete(`session:lock:${key}`)
    await lease.save(record({ data: '{"n":4}' }), { release: true })
    t.equal((await second.read(key))?.data, '{"n":4}')
  })
})

t.test('a lock is renewed while it is held, also beyond its first lease', SERVER, async (t) => {
  const memcached = await startMemcached(t)
  const [store, second] = [await openStore(t, { servers: addressOf(memcached), lease: 2000 }), await openStore(t, { servers: addressOf(memcached) })]
  const key = await storedIn(store)
  const lease = await lock(store, key)
  await sleep(4500)
  t.equal((await second.acquire(new TestTicket(key)))?.outcome, 'busy')
  await lease.save(record({ data: '{"n":2}' }), { release: true })
  t.equal((await second.read(key))?.data, '{"n":2}')
})

t.test('a lock whose holder has died goes to the next, and the late holder is refused', SERVER, async (t) => {
  const memcached = await startMemcached(t)
  const proxy = await TcpProxy.start(t, memcached.port)
  const first = await openStore(t, { servers: proxy.address, lease: 2000 })
  const second = await openStore(t, { servers: addressOf(memcached), lease: 2000 })
  const spy = await MemcachedSpy.connect(t, memcached.port)

  await t.test('S1: a save that was sent in time and arrives late is refused', async (t) => {
    const slow = await openStore(t, { servers: proxy.address, timeout: 20_000 })
    const key = await storedIn(slow)
    const lease = await lock(slow, key, new TestTicket(key, 1000))
    proxy.hold()
    const saving = (async () => { await lease.save(record({ data: '{"n":2}' }), { release: true }) })()
    const next = await lock(second, key)
    proxy.letGo()
    await t.rejects(async () => { await saving }, LOST)
    t.equal((await slow.acquire(new TestTicket(key)))?.outcome, 'busy')
    await next.save(record({ data: '{"n":3}' }), { release: true })
    t.equal((await first.read(key))?.data, '{"n":3}')
  })

  await t.test('S1: a holder whose lease is over cannot save what somebody else holds', async (t) => {
    const key = await storedIn(first)
    // It may hold it for so long only, so the lease is not renewed beyond it.
    const lease = await lock(first, key, new TestTicket(key, 1000))
    const asked = performance.now()
    const next = await lock(second, key)
    t.ok(performance.now() - asked < 10_000, 'it did not wait for the grace, too')
    await t.rejects(async () => { await lease.save(record({ data: '{"n":2}' }), { release: true }) }, LOST)
    await lease.release()
    t.equal((await first.acquire(new TestTicket(key)))?.outcome, 'busy')
    await next.save(record({ data: '{"n":3}' }), { release: true })
    t.equal((await first.read(key))?.data, '{"n":3}')
  })

  await t.test('the takeover itself changes neither the data nor when the server forgets them', async (t) => {
    const key = await storedIn(first)
    const ttl = async () => Number(/ t(\d+)/.exec(await spy.ask(`mg session:data:${key} t k`))![1])
    const before = await ttl()
    await lock(first, key, new TestTicket(key, 1000))
    const next = await lock(second, key)
    t.equal(next.record.data, '{"n":1}')
    const passed = before - await ttl()
    t.ok(passed >= 0 && passed < 30, `it has lost ${passed} s`)
    await next.release()
  })
})

t.test('S6: the server is killed under those who hold and wait: 503, no hang, and it works after the restart', SERVER, async (t) => {
  const memcached = await startMemcached(t)
  const app = await appOn(t, new MemcachedStore({ servers: addressOf(memcached) }))
  const visitor = new Visitor(app)
  await visitor.send('POST', '/increment')
  const requests = Array.from({ length: 5 }, () => app.inject({ method: 'POST', url: '/increment?work=300', cookies: visitor.cookies }))
  await sleep(100)
  await memcached.kill()
  for (const response of await Promise.all(requests)) {
    t.equal(response.statusCode, 503)
    t.equal(response.json().code, 'FST_SESSION_STORE_UNAVAILABLE')
  }
  t.equal((await app.inject({ url: '/peek', cookies: visitor.cookies })).statusCode, 503)
  await memcached.restart()
  t.same((await visitor.send('GET', '/peek')).json(), {}, 'the session is gone')
  t.same((await visitor.send('POST', '/increment')).json(), { n: 1 })
  t.same((await visitor.send('POST', '/increment')).json(), { n: 2 })
})

t.test('S6: a server that answers nothing: 503 after the timeout, and it works when it answers again', SERVER, async (t) => {
  const memcached = await startMemcached(t)
  const app = await appOn(t, new MemcachedStore({ servers: addressOf(memcached), timeout: 300 }))
  const visitor = new Visitor(app)
  await visitor.send('POST', '/increment')
  await memcached.freeze()
  t.teardown(() => memcached.thaw())
  for (let round = 0; round < 2; round++) {
    t.equal((await app.inject({ url: '/visit', cookies: visitor.cookies })).json().code, 'FST_SESSION_STORE_UNAVAILABLE')
  }
  memcached.thaw()
  // What was asked in vain may be done now: a lock that nobody holds, until its lease is over.
  t.same((await visitor.send('POST', '/increment')).json(), { n: 2 })
})

t.test('a server without CAS is refused', SERVER, async (t) => {
  const memcached = await startMemcached(t, ['-C'])
  const store = await openStore(t, { servers: addressOf(memcached) })
  await t.rejects(async () => { await store.create(newKey(), record()) })
  await t.rejects(async () => { await store.read(newKey()) })
})

t.test('I8: a session that is too large for an item is refused, and the old one stays', SERVER, async (t) => {
  for (const limit of ['512k', '1m', '2m']) {
    const memcached = await startMemcached(t, ['-I', limit])
    const store = await openStore(t, { servers: addressOf(memcached) }, 4 * 1024 * 1024)
    const key = await storedIn(store)
    const lease = await lock(store, key)
    const bytes = Number.parseInt(limit) * (limit.endsWith('k') ? 1024 : 1024 * 1024)
    const tooLarge = { code: 'FST_SESSION_TOO_LARGE', message: /item_size_max/ }
    await t.rejects(async () => { await lease.save(record({ data: 'x'.repeat(bytes) })) }, tooLarge)
    await t.rejects(async () => { await store.create(newKey(), record({ data: 'x'.repeat(bytes) })) }, tooLarge)
    t.equal((await store.read(key))?.data, '{"n":1}')
    await lease.save(record({ data: 'x'.repeat(bytes - 600) }), { release: true })
    t.equal((await store.read(key))?.data.length, bytes - 600, `almost ${limit} fit`)
  }
})

t.test('I8: a record larger than maxRecordSize is refused at load, and its lock is free again', SERVER, async (t) => {
  const memcached = await startMemcached(t)
  const spy = await MemcachedSpy.connect(t, memcached.port)
  const large = await openStore(t, { servers: addressOf(memcached) })
  const small = await openStore(t, { servers: addressOf(memcached) }, 1000)
  for (const size of [1001, 500_000]) {
    const key = await storedIn(large, { data: 'x'.repeat(size) })
    await t.rejects(async () => { await small.read(key) }, { code: 'FST_SESSION_TOO_LARGE' })
    await t.rejects(async () => { await small.acquire(new TestTicket(key)) }, { code: 'FST_SESSION_TOO_LARGE' })
    await small.read(await storedIn(small))
    t.equal(await spy.has(`session:lock:${key}`), false)
  }
})

t.test('the sessions are spread over the servers, each with its lock', SERVER, async (t) => {
  const memcacheds = [await startMemcached(t), await startMemcached(t)]
  const servers = memcacheds.map(addressOf)
  const spies = [await MemcachedSpy.connect(t, memcacheds[0]!.port), await MemcachedSpy.connect(t, memcacheds[1]!.port)]
  const store = await openStore(t, { servers })
  const second = await openStore(t, { servers: servers.toReversed() })
  const found = [0, 0]
  for (let i = 0; i < 40; i++) {
    const key = await storedIn(store)
    const lease = await lock(store, key)
    for (const [index, spy] of spies.entries()) {
      const hasData = await spy.has(`session:data:${key}`)
      t.equal(await spy.has(`session:lock:${key}`), hasData, 'together')
      if (hasData) found[index]!++
    }
    t.equal((await second.acquire(new TestTicket(key)))?.outcome, 'busy', 'the order of the servers does not matter')
    await lease.release()
  }
  t.equal(found[0]! + found[1]!, 40, 'each once')
  t.ok(found[0]! > 5 && found[1]! > 5, `${found}`)
})

t.test('a session stays where it is when a server is added, unless it moves to the new one', async (t) => {
  const names = ['a:1', 'b:2', 'c:3']
  const before = new ServerRing(names, names)
  const after = new ServerRing([...names, 'd:4'], [...names, 'd:4'])
  let moved = 0
  for (let i = 0; i < 2000; i++) {
    const key = newKey()
    const server = after.serverOf(key)
    if (server === before.serverOf(key)) continue
    t.equal(server, 'd:4')
    moved++
  }
  t.ok(moved > 400 && moved < 600, `${moved} of 2000, a quarter is right`)
})

t.test('L1 L7: four stores compete for one session: nothing is lost, and each gets its share', SERVER, async (t) => {
  const memcached = await startMemcached(t)
  const apps = []
  for (let i = 0; i < 4; i++) apps.push(await appOn(t, new MemcachedStore({ servers: addressOf(memcached) }), { lockTimeout: 25_000 }))
  const visitor = new Visitor(apps[0]!)
  await visitor.send('POST', '/increment')
  const PER_STORE = 40
  const order: number[] = []
  await Promise.all(apps.flatMap((app, index) => Array.from({ length: PER_STORE }, async () => {
    const { statusCode } = await app.inject({ method: 'POST', url: '/increment?work=2', cookies: visitor.cookies })
    t.equal(statusCode, 200)
    order.push(index)
  })))
  t.same((await visitor.send('GET', '/peek')).json(), { n: 4 * PER_STORE + 1 })
  // Until the first store has got all it wanted, each of the others has had some of it.
  const counts = [0, 0, 0, 0]
  for (const index of order) if (++counts[index]! === PER_STORE) break
  t.ok(Math.min(...counts) >= 5, `${counts}`)
})

t.test('L7: a store that had the lock four times in a row leaves it to the other, however seldom that one asks', SERVER, async (t) => {
  const memcached = await startMemcached(t)
  const [store, second] = [await openStore(t, { servers: addressOf(memcached) }), await openStore(t, { servers: addressOf(memcached) })]
  const key = await storedIn(store)
  let lease: Lease | null = await lock(store, key)
  const waiting = new TestTicket(key)
  let pause = 0
  for (let asked = 0; asked < 10; asked++) {
    const answer = await second.acquire(waiting)
    if (answer?.outcome === 'busy') pause = answer.retryAfter
  }
  t.ok(pause >= 40 && pause <= 50, `it asks every ${pause} ms`)
  let grants = 1
  for (; lease !== null && grants < 20; grants++) {
    await lease.save(record(), { release: true })
    t.equal(lease.contended, true)
    const answer = await store.acquire(new TestTicket(key))
    lease = answer?.outcome === 'granted' ? answer : null
    if (answer?.outcome === 'busy') t.ok(answer.retryAfter > 0 && answer.retryAfter <= 60, 'and not for longer than that')
  }
  t.equal(grants - 1, 4)
  t.equal((await second.acquire(waiting))?.outcome, 'granted')
})

t.test('it does not list what it cannot list', SERVER, async (t) => {
  const memcached = await startMemcached(t)
  const store = await openStore(t, { servers: addressOf(memcached) })
  await storedIn(store)
  await t.rejects(async () => { for await (const entry of store.entries()) t.fail(String(entry)) })
  await t.rejects(store.count())
  t.same(store.prune(), { deleted: 0, remaining: 0 })
  const app = await appOn(t, new MemcachedStore({ servers: addressOf(memcached) }))
  await app.ready()
  await t.rejects(app.sessions.destroyByUser('ann'), { code: 'FST_SESSION_UNSUPPORTED' })
})

t.test('wrong options are refused at once', async (t) => {
  const servers = 'localhost:11211'
  const wrong: unknown[] = [
    undefined, {}, { servers: '' }, { servers: [] }, { servers: ['a:1', 7] }, { servers: 'a:b:c' }, { servers: 'a:70000' }, { servers: 'http://a' },
    { servers, prefix: 'a b' }, { servers, prefix: 'x'.repeat(101) }, { servers, prefix: 'é' }, { servers, lease: 1000 }, { servers, lease: 61_000 },
    { servers, timeout: 0 }, { servers, server: 'a' }
  ]
  for (const options of wrong) {
    t.throws(() => new MemcachedStore(options as MemcachedStoreOptions), { code: 'FST_SESSION_INVALID_OPTION' }, JSON.stringify(options))
  }
  t.same(parseAddress('cache'), { host: 'cache', port: 11211 })
  t.same(parseAddress('[::1]:5'), { host: '::1', port: 5 })
})

/** What the parser makes of the pieces. */
function parse (pieces: Buffer[], maxValue = 1000): Reply[] {
  const replies: Reply[] = []
  const parser = new ReplyParser(maxValue, (reply) => { replies.push(reply) })
  for (const piece of pieces) parser.push(piece)
  return replies
}

t.test('replies are understood in pieces of any size', async (t) => {
  const deceptive = 'EN\r\nHD\r\nVA 9\r\n'
  const bytes = Buffer.from(`HD c18446744073709551615\r\nHD\r\nVA ${deceptive.length} c12 t30\r\n${deceptive}\r\nVA 0 t-1\r\n\r\nEN\r\nSERVER_ERROR out of memory\r\nSTAT a b\r\nEND\r\n`)
  const whole = parse([bytes])
  t.same(whole.map(({ status, cas, ttl, value }) => [status, cas, ttl, value?.toString() ?? null]), [
    ['HD', '18446744073709551615', -1, null],
    ['HD', '', -1, null],
    ['VA', '12', 30, deceptive],
    ['VA', '', -1, ''],
    ['EN', '', -1, null],
    ['SERVER_ERROR', '', -1, null],
    ['STAT', '', -1, null],
    ['END', '', -1, null]
  ])
  t.same(parse([...bytes].map(byte => Buffer.from([byte]))), whole)
  for (let at = 1; at < bytes.length; at++) t.same(parse([bytes.subarray(0, at), bytes.subarray(at)]), whole)
})

t.test('a value that is too large is skipped, and what follows is understood', async (t) => {
  const bytes = Buffer.from(`VA 2000 c1\r\n${'\r\nHD\r\n'.repeat(400).slice(0, 2000)}\r\nEN\r\n`)
  for (const pieces of [[bytes], [...bytes].map(byte => Buffer.from([byte]))]) {
    t.same(parse(pieces).map(({ status, size, value }) => [status, size, value]), [['VA', 2000, null], ['EN', 0, null]])
  }
})

const HOSTILE = [
  '\r\n', 'HD\n', 'hd\r\n', 'ERROR\r\n', 'CLIENT_ERROR bad data chunk\r\n', 'VA\r\n', 'VA x\r\n', 'VA -1\r\n', 'VA 1e3\r\n', `VA ${'9'.repeat(20)}\r\n`,
  'VA 1\r\nabc', 'VA 1\r\na\rb', 'VA 1 c\r\n', 'HD cx\r\n', 'HD c-1\r\n', 'HD t\r\n', 'x'.repeat(9000), `HD ${'x'.repeat(9000)}\r\n`,
  'HTTP/1.1 400 Bad Request\r\n', '$-1\r\n', '\0\0\0\0\r\n', '__proto__ 1\r\n'
]

t.test('replies that are none are refused', async (t) => {
  for (const text of HOSTILE) {
    t.throws(() => parse([Buffer.from(text)]), JSON.stringify(text.slice(0, 30)))
    t.throws(() => parse([...Buffer.from(text)].map(byte => Buffer.from([byte]))), JSON.stringify(text.slice(0, 30)))
  }
})

t.test('S6: a server that talks nonsense, says too much or hangs up: an error, no hang, no crash', async (t) => {
  const SETTINGS = 'STAT item_size_max 1048576\r\nSTAT cas_enabled yes\r\nEND\r\n'
  let answers: string[] = []
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    const left = [...answers]
    socket.on('error', () => {})
    socket.on('data', () => {
      const answer = left.shift()
      if (answer === undefined) socket.destroy()
      else socket.write(answer)
    })
  })
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const store = await openStore(t, { servers: `127.0.0.1:${(server.address() as { port: number }).port}`, timeout: 200 })
  const scripts = [[], ['END\r\n'], ['ERROR\r\n'], ['STAT a\r\n'], ...HOSTILE.map(text => [SETTINGS, text]), [SETTINGS], [SETTINGS, 'HD\r\n']]
  for (const script of scripts) {
    answers = script
    await t.rejects(store.read(newKey()), JSON.stringify(script).slice(0, 60))
    await t.rejects(store.acquire(new TestTicket(newKey())), JSON.stringify(script).slice(0, 60))
  }
  answers = [SETTINGS, 'EN\r\nEN\r\n']
  t.equal(await store.read(newKey()), null, 'after all that it works')
})
