// The compat plugin: sessions outside of a request.
import fastifyCookie from '@fastify/cookie'
import fastifyWebsocket from '@fastify/websocket'
import Fastify from 'fastify'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'tap'
import { WebSocket } from 'ws'
import compat, { type FastifySessionOptions, MemoryStore } from '../lib/compat/index.js'
import { MemoryStore as LockingMemoryStore } from '../lib/index.js'
import { counting, plain, SlowStore, start, until } from './helpers/compat-server.js'

const stores: Record<string, () => NonNullable<FastifySessionOptions['store']>> = {
  'the default store': () => new MemoryStore(),
  'a store with callbacks': () => new SlowStore(),
  'a store of this package': () => new LockingMemoryStore()
}

for (const [name, makeStore] of Object.entries(stores)) {
  test(`compat: fastify.sessions with ${name}`, async (t) => {
    const { app, visitor } = await start(t, { ...plain, store: makeStore() }, {
      ...counting,
      '/id': (session) => ({ id: session.sessionId }),
      '/open-ended': async ({ n }) => {
        await gate
        return { n }
      }
    })
    let gate: Promise<void>
    let open: () => void
    /** A page that holds the lock until open() is called. */
    const holding = async () => {
      gate = new Promise(resolve => { open = resolve })
      const page = one.at(one.port).get('/open-ended')
      await until(() => app.sessions.stats().locks.held === 1)
      return { answer: page }
    }
    const one = visitor()
    const { id } = (await one.get('/id')).body
    const header = `other=1; sessionId=${one.cookie}`

    t.test('L1: with() takes turns with requests, and what it writes is kept', async (t) => {
      const work = [
        ...Array.from({ length: 10 }, () => one.at(one.port).get('/increment')),
        ...Array.from({ length: 10 }, (_, index) => app.sessions.with(index % 2 === 0 ? header : id, async (session: any) => {
          const n = session.n ?? 0
          await sleep(1)
          session.n = n + 1
        }))
      ]
      await Promise.all(work)
      t.equal((await one.get('/n')).body.n, 20)
      t.equal(await app.sessions.with(id, (session: any) => session.n), 20)
    })

    t.test('L4: what a section wrote before it threw is not kept', async (t) => {
      await t.rejects(app.sessions.with(id, (session: any) => {
        session.n = 1000
        throw new Error('no')
      }), { message: 'no' })
      t.equal((await one.get('/n')).body.n, 20)
    })

    t.test('a session kept beyond its section cannot be saved, and a new id is refused', async (t) => {
      const kept: any = await app.sessions.with(id, session => session)
      kept.n = 1000
      await t.rejects(kept.save(), { code: 'FST_SESSION_NOT_LOCKED' })
      await t.rejects(app.sessions.with(id, session => session.regenerate()), { code: 'FST_SESSION_COMMITTED' })
      t.equal((await one.get('/n')).body.n, 20)
    })

    t.test('save() and reload() work inside', async (t) => {
      const seen = await app.sessions.with(id, async (session: any) => {
        session.saved = true
        await session.save()
        session.saved = 'not'
        await session.reload()
        return session.saved
      })
      t.equal(seen, true)
    })

    t.test('get() looks without waiting for the lock, and writes nothing', async (t) => {
      const page = await holding()
      const session: any = await app.sessions.get(id)
      t.equal(session.n, 20)
      t.equal(session.sessionId, id)
      await t.rejects(session.save(), { code: 'FST_SESSION_READ_ONLY' })
      t.equal(await app.sessions.get('nobody'), null)
      open()
      await page.answer
    })

    t.test('S2: destroy() waits for the lock, and the session stays destroyed', async (t) => {
      const page = await holding()
      const destroyed = app.sessions.destroy(id)
      await until(() => app.sessions.stats().locks.waiting === 1)
      open()
      t.equal((await page.answer).body.n, 20, 'the page that held the lock had its session')
      t.equal(await destroyed, true)
      t.equal(await app.sessions.destroy(id), false)
      t.equal(await app.sessions.get(id), null)
      await t.rejects(app.sessions.with(id, () => {}), { code: 'FST_SESSION_NOT_FOUND' })
      await t.rejects(app.sessions.with(header, () => {}), { code: 'FST_SESSION_NOT_FOUND' })
    })
  })
}

test('compat: listing', async (t) => {
  for (const name of ['the default store', 'a store of this package']) {
    t.test(`sessions are listed and counted, and deleted by their keys, in ${name}`, async (t) => {
      const { app, visitor } = await start(t, { ...plain, store: stores[name]!() }, counting)
      await Promise.all([1, 2, 3].map(() => visitor().get('/increment')))
      t.equal(await app.sessions.count(), 3)
      for await (const [key, session] of app.sessions.entries()) {
        t.equal((session as any).n, 1)
        t.equal(await app.sessions.destroy(key), true)
      }
      t.equal(await app.sessions.count(), 0)
    })
  }

  t.test('a store that cannot list says so', async (t) => {
    const { app } = await start(t, { ...plain, store: new SlowStore() }, {})
    await t.rejects(app.sessions.count(), { code: 'FST_SESSION_UNSUPPORTED' })
    await t.rejects(app.sessions.entries().next(), { code: 'FST_SESSION_UNSUPPORTED' })
    t.equal(app.sessions.scope, 'process')
  })

  t.test('C1: prune() removes expired sessions of the default store, also when a store inherits from it', async (t) => {
    const expired = { n: 1, cookie: { expires: new Date(Date.now() - 1000) } }
    const { app } = await start(t, { ...plain, store: new MemoryStore(new Map([['a', expired]])) }, {})
    t.same(await app.sessions.prune(), { deleted: 1, remaining: 0 })
    function Old (this: any): void { (MemoryStore as any).call(this, { path: '/nowhere' }) }
    Object.setPrototypeOf(Old.prototype, MemoryStore.prototype)
    const { app: other } = await start(t, { ...plain, store: new (Old as any)() }, {})
    t.same(await other.sessions.prune(), { deleted: 0, remaining: 0 })
  })
})

test('compat: a websocket reads the session of its upgrade, and writes in with() without holding the lock between messages', async (t) => {
  const app = Fastify({ forceCloseConnections: true })
  await app.register(fastifyCookie)
  await app.register(compat, plain)
  await app.register(fastifyWebsocket)
  app.get('/', async (request) => {
    const session = request.session as any
    session.n = (session.n ?? 0) + 1
    return { n: session.n }
  })
  app.get('/socket', { websocket: true }, (socket, request) => {
    const { n } = request.session as any
    socket.on('message', async () => {
      const now = await app.sessions.with(request.headers.cookie!, (session: any) => ++session.n)
      socket.send(JSON.stringify({ began: n, now }))
    })
  })
  const address = await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => app.close())
  const first = await app.inject('/')
  const cookie = `sessionId=${encodeURIComponent(first.cookies[0]!.value)}`
  const socket = new WebSocket(`${address.replace('http', 'ws')}/socket`, { headers: { cookie } })
  t.teardown(() => socket.terminate())
  await once(socket, 'open')
  t.equal((await app.inject({ url: '/', headers: { cookie } })).json().n, 2, 'an open socket holds no lock')
  socket.send('')
  t.same(JSON.parse(String((await once(socket, 'message'))[0])), { began: 1, now: 3 })
  t.equal((await app.inject({ url: '/', headers: { cookie } })).json().n, 4)
  t.match(app.sessions.stats().locks, { held: 0, waiting: 0 })
})
