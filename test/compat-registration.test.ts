// The compat plugin: where and how it is registered.
import fastifyCookie from '@fastify/cookie'
import Fastify from 'fastify'
import { connect } from 'node:http2'
import { once } from 'node:events'
import { test } from 'tap'
import compat, { MemoryStore, type SessionStore } from '../lib/compat/index.js'
import lockedSession, { MemoryStore as LockingMemoryStore } from '../lib/index.js'
import { plain, SECRET } from './helpers/compat-server.js'

async function count (request: any): Promise<{ n: number }> {
  const n = request.session.n ?? 0
  await new Promise(resolve => setImmediate(resolve))
  request.session.n = n + 1
  return { n: n + 1 }
}

test('compat: over HTTP/2 the requests of one connection lose nothing', async (t) => {
  const app = Fastify({ http2: true, http2SessionTimeout: 1000 })
  await app.register(compat, plain)
  app.get('/', count)
  app.get('/logout', async (request) => { await request.session.destroy(); return {} })
  const address = await app.listen({ host: '127.0.0.1', port: 0 })
  const client = connect(address)
  t.teardown(async () => {
    client.destroy()
    await app.close()
  })
  const get = async (path: string, cookie?: string) => {
    const stream = client.request({ ':path': path, ...(cookie !== undefined && { cookie }) })
    const [headers] = await once(stream, 'response')
    let text = ''
    for await (const chunk of stream.setEncoding('utf8')) text += chunk
    return { status: headers[':status'], cookie: headers['set-cookie']?.[0]?.split(';')[0] as string, body: JSON.parse(text) }
  }
  const { cookie } = await get('/')
  const answers = await Promise.all(Array.from({ length: 20 }, () => get('/', cookie)))
  t.same(answers.map(({ body }) => body.n), Array.from({ length: 20 }, (_, index) => index + 2))

  const gone = client.request({ ':path': '/', cookie })
  gone.on('error', () => {})
  gone.close(8)
  t.equal((await get('/logout', cookie)).status, 200, 'a stream that was cancelled holds no lock')
  t.equal((await get('/', cookie)).body.n, 1)
  t.match(app.sessions.stats().locks, { held: 0, waiting: 0 })
})

test('compat: the cookie is Secure by default, and sent on https only', async (t) => {
  const app = Fastify({ trustProxy: true })
  await app.register(compat, { secret: SECRET })
  app.get('/', count)
  t.teardown(() => app.close())
  t.equal((await app.inject('/')).headers['set-cookie'], undefined)
  t.match((await app.inject({ url: '/', headers: { 'x-forwarded-proto': 'https' } })).headers['set-cookie'], /; Secure/)
})

test('compat: in a context with a prefix it serves that context only', async (t) => {
  const app = Fastify()
  await app.register(async (context) => {
    await context.register(fastifyCookie)
    await context.register(compat, { ...plain, prefix: '/ignored' } as any)
    context.get('/', count)
  }, { prefix: '/inside' })
  app.get('/', async (request) => ({ has: 'session' in request }))
  t.teardown(() => app.close())
  t.same((await app.inject('/')).json(), { has: false })
  const { cookies } = await app.inject('/inside')
  t.same((await app.inject({ url: '/inside', cookies: { sessionId: cookies[0]!.value } })).json(), { n: 2 })
})

test('compat: two contexts have two sessions, also when they share a store and its locks', async (t) => {
  const store = new MemoryStore()
  const app = Fastify()
  for (const prefix of ['/a', '/b']) {
    await app.register(async (context) => {
      await context.register(compat, { ...plain, store, cookieName: `id${prefix.slice(1)}` })
      context.get('/', count)
    }, { prefix })
  }
  t.teardown(() => app.close())
  const [a, b] = [await app.inject('/a'), await app.inject('/b')]
  const cookies = { ida: a.cookies[0]!.value, idb: b.cookies[0]!.value }
  t.same((await app.inject({ url: '/a', cookies })).json(), { n: 2 })
  t.same((await app.inject({ url: '/a', cookies })).json(), { n: 3 })
  t.same((await app.inject({ url: '/b', cookies })).json(), { n: 2 })
  // Under the name of the other it is the same session.
  const swapped = { ida: cookies.ida, idb: cookies.ida }
  const answers = await Promise.all(Array.from({ length: 10 }, (_, index) => app.inject({ url: index % 2 === 0 ? '/a' : '/b', cookies: swapped })))
  t.same(answers.map(answer => answer.json().n).sort((x, y) => x - y), [4, 5, 6, 7, 8, 9, 10, 11, 12, 13])
})

test('compat: a second registration in one context is refused, and the stores of both are closed', async (t) => {
  class Closing extends LockingMemoryStore {
    closed = 0
    close (): void { this.closed++ }
  }
  const stores = [new Closing(), new Closing()]
  const app = Fastify()
  app.register(compat, { ...plain, store: stores[0]! })
  app.register(compat, { ...plain, store: stores[1]!, cookieName: 'another' })
  await t.rejects(async () => { await app.ready() }, { code: 'FST_ERR_DEC_ALREADY_PRESENT' })
  await app.close()
  t.same(stores.map(store => store.closed), [1, 1])
})

test('compat: the plain plugin works beside it under another name', async (t) => {
  const app = Fastify()
  await app.register(compat, plain)
  await app.register(lockedSession, { decoratorName: 'cart', cookieName: 'cart', cookie: { secure: false } })
  app.get('/', async (request: any) => {
    request.session.n = (request.session.n ?? 0) + 1
    request.cart.set('n', request.cart.get('n', 0) + 10)
    return { session: request.session.n, cart: request.cart.get('n') }
  })
  t.teardown(() => app.close())
  const first = await app.inject('/')
  const cookies = Object.fromEntries(first.cookies.map(({ name, value }) => [name, value]))
  t.same((await app.inject({ url: '/', cookies })).json(), { session: 2, cart: 20 })
})

test('compat: options', async (t) => {
  const texts: Record<string, unknown> = {
    'the secret option is required, and must be a String, Array of Strings, or a signer object with .sign and .unsign methods': undefined,
    'the secret must have length 32 or greater': 'short',
    'at least one secret is required': []
  }
  for (const [message, secret] of Object.entries(texts)) {
    t.test(`the text for a bad secret is that of @fastify/session: ${message}`, async (t) => {
      const app = Fastify()
      app.register(compat, { secret } as any)
      await t.rejects(async () => { await app.ready() }, { message })
      await app.close()
    })
  }

  t.test('a maxAge of 0 is none, and one of years is allowed', async (t) => {
    for (const maxAge of [0, 2 * 365 * 86_400_000]) {
      for (const store of [new MemoryStore(), new LockingMemoryStore()]) {
        const app = Fastify()
        await app.register(compat, { secret: SECRET, store, cookie: { secure: false, maxAge } })
        app.get('/', count)
        const { cookies } = await app.inject('/')
        t.equal(cookies[0]!.expires !== undefined, maxAge > 0)
        t.equal((await app.inject({ url: '/', cookies: { sessionId: cookies[0]!.value } })).json().n, 2)
        await app.close()
      }
    }
  })

  t.test('a store that inherits from Store as express-session stores do', async (t) => {
    const { Store } = compat as any
    const rows = new Map<string, string>()
    function OldStore (this: any, options: object): void {
      Store.call(this, options)
      this.on('ready', () => { this.isReady = true })
      this.emit('ready')
    }
    OldStore.prototype = Object.create(Store.prototype)
    Object.assign(OldStore.prototype, {
      get: (id: string, done: any) => done(null, rows.has(id) ? JSON.parse(rows.get(id)!) : undefined),
      set: (id: string, session: any, done: any) => { rows.set(id, JSON.stringify(session)); done() },
      destroy: (id: string, done: any) => { rows.delete(id); done() }
    } satisfies SessionStore)
    const store = new (OldStore as any)({ path: '/nowhere' })
    t.ok(store.isReady)
    const app = Fastify()
    await app.register(compat, { ...plain, store })
    app.get('/', count)
    t.teardown(() => app.close())
    const { cookies } = await app.inject('/')
    t.equal((await app.inject({ url: '/', cookies: { sessionId: cookies[0]!.value } })).json().n, 2)
    t.equal(rows.size, 1)
  })
})

test('compat: decryptSession() on the request at hand', async (t) => {
  const start = async (options = {}) => {
    const app = Fastify()
    await app.register(compat, { ...plain, ...options })
    // A client without cookies, which brings the signed id in a header of its own.
    app.addHook('preHandler', (request, _reply, done) => {
      const { token } = request.headers
      if (token === undefined) done()
      else app.decryptSession(String(token), request, done)
    })
    app.get('/', count)
    app.get('/token', async (request) => ({ token: (request as any).session.encryptedSessionId }))
    t.teardown(() => app.close())
    const { token } = (await app.inject('/token')).json()
    return { app, get: async (headers = { token }) => (await app.inject({ url: '/', headers })).json().n }
  }

  t.test('L1: the request goes on with that session, locked, and saves it', async (t) => {
    for (const store of [new MemoryStore(), new LockingMemoryStore()]) {
      const { app, get } = await start({ store })
      const answers = await Promise.all(Array.from({ length: 20 }, () => get()))
      t.same(answers.sort((a, b) => a - b), Array.from({ length: 20 }, (_, index) => index + 1))
      t.match(app.sessions.stats().locks, { held: 0, waiting: 0 })
      t.equal(await app.sessions.count(), 1, 'none was stored for the requests without a cookie')
    }
  })

  t.test('I1: a token that names nothing gives a new session', async (t) => {
    const { get } = await start()
    t.equal(await get({ token: 'made up' }), 1)
  })
})
