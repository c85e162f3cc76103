// Two sessions in one application, sessions in a part of it, and one store for several applications.
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import t, { type Test } from 'tap'
import sessionPlugin, { MemoryStore, type Session, type SessionManager, type SessionPluginOptions, type Store } from '../lib/index.js'
import compatPlugin from '../lib/compat/index.js'
import { LogLines } from '../lib/conformance/log-lines.js'
import { CookieStore } from '../lib/stores/cookie/index.js'
import { FileStore } from '../lib/stores/file/index.js'
import { atOnce, Browser } from './helpers/browser.js'

/** What the second registration adds, under decoratorName 'cart'. */
interface Cart {
  cart: Session
  withCartLock<T> (fn: (cart: Session) => T | Promise<T>): Promise<T>
}

type CartRequest = FastifyRequest & Cart

function newApp (t: Test): FastifyInstance {
  const app = Fastify()
  t.teardown(() => app.close())
  return app
}

async function visit (t: Test, app: FastifyInstance): Promise<Browser> {
  return new Browser(await app.listen({ host: '127.0.0.1', port: 0 }))
}

/** Routes that count in the session of each name. */
function addCounters (app: FastifyInstance, ...names: string[]): void {
  for (const name of names) {
    app.post(`/${name}`, async (request) => {
      const session = request[name as 'session']
      const n = session.get('n', 0) + 1
      await new Promise(resolve => setImmediate(resolve))
      session.set('n', n)
      return { n }
    })
  }
}

const cartsOf = (app: FastifyInstance): SessionManager => (app as unknown as { carts: SessionManager }).carts

const FREE = { held: 0, waiting: 0 }
const locksOf = ({ held, waiting }: { held: number, waiting: number }) => ({ held, waiting })

t.test('two sessions in one application', async (t) => {
  const shared = (store: Store): readonly [Store, Store] => [store, store]
  const pairs: Record<string, () => readonly [Store, Store]> = {
    'with a store each': () => [new MemoryStore(), new MemoryStore()] as const,
    'on one store': () => shared(new MemoryStore()),
    'on one file store': () => shared(new FileStore({ directory: t.testdir() })),
    'one in a store, one in the cookie': () => [new MemoryStore(), new CookieStore({ secret: 'a secret of more than 32 characters' })] as const
  }
  for (const [title, stores] of Object.entries(pairs)) {
    t.test(title, async (t) => {
      const [store, second] = stores()
      const app = newApp(t)
      const lockable = second.locking !== 'none'
      await app.register(sessionPlugin, { store })
      await app.register(sessionPlugin, { store: second, decoratorName: 'cart', cookieName: 'cart', ...(!lockable && { locking: 'explicit' as const }) })
      addCounters(app, 'session')
      app.post('/cart', async (request) => await (request as CartRequest).withCartLock((cart) => {
        cart.set('n', cart.get('n', 0) + 1)
        return { n: cart.get('n') }
      }))
      app.post('/both', async (request) => {
        request.session.set('n', request.session.get('n', 0) + 1)
        return await (request as CartRequest).withCartLock((cart) => {
          cart.set('n', cart.get('n', 0) + 1)
          return { session: request.session.get('n'), cart: cart.get('n') }
        })
      })
      app.post('/logout', async ({ session }) => {
        await session.destroy()
        return { ok: true }
      })
      const browser = await visit(t, app)

      t.same(await browser.post('/both'), { session: 1, cart: 1 })
      t.same([...browser.cookies.keys()].sort(), ['cart', 'sessionId'])
      await atOnce(20, () => browser.post('/session'))
      // The cookie is the session: writes at once lose one another there, as its page says.
      if (lockable) await atOnce(20, () => browser.post('/cart'))
      t.same(await browser.post('/both'), { session: 22, cart: lockable ? 22 : 2 })
      await browser.post('/logout')
      t.same([...browser.cookies.keys()], ['cart'])
      t.same(await browser.post('/cart'), { n: lockable ? 23 : 3 }, 'the other one lives on')
      t.same(locksOf(app.sessions.stats().locks), FREE)
    })
  }

  t.test('I2 on one store the id of one is worth nothing as that of the other', async (t) => {
    const store = new MemoryStore()
    const app = newApp(t)
    await app.register(sessionPlugin, { store, lockTimeout: 500 })
    await app.register(sessionPlugin, { store, decoratorName: 'cart', cookieName: 'cart', lockTimeout: 500 })
    app.post('/cart', async (request) => ({ data: (request as CartRequest).cart.set('user', 'admin').data() }))
    app.get('/whoami', async (request) => ({ user: request.session.get('user'), cart: (request as CartRequest).cart.get('user') }))
    const browser = await visit(t, app)
    await browser.post('/cart')
    const id = browser.cookies.get('cart')!
    browser.cookies.set('sessionId', id)
    t.same(await browser.get('/whoami'), { cart: 'admin' })
    t.equal(await app.sessions.get(id), null)
    t.same((await cartsOf(app).get(id))?.data(), { user: 'admin' })
  })

  t.test('L5 a handler that holds both waits for neither: each says FST_SESSION_DEADLOCK at once', async (t) => {
    const app = newApp(t)
    await app.register(sessionPlugin, { lockTimeout: Infinity })
    await app.register(sessionPlugin, { decoratorName: 'cart', cookieName: 'cart', lockTimeout: Infinity })
    app.post('/both', async (request) => {
      const { session, cart } = request as CartRequest
      session.set('n', 1)
      cart.set('n', 1)
      const codeOf = async (waiting: Promise<unknown>) => await waiting.then(() => 'entered', (error: { code: string }) => error.code)
      return {
        session: session.id === null ? null : await codeOf(app.sessions.with(session.id, () => {})),
        cart: cart.id === null ? null : await codeOf(cartsOf(app).with(cart.id, () => {}))
      }
    })
    const browser = await visit(t, app)
    await browser.post('/both')
    t.same(await browser.post('/both'), { session: 'FST_SESSION_DEADLOCK', cart: 'FST_SESSION_DEADLOCK' })
    t.same(locksOf(app.sessions.stats().locks), FREE)
  })

  t.test('I6 a cookie that may not be sent is an error in the log once for each of them, and nothing is stored', async (t) => {
    const log = new LogLines()
    const app = Fastify({ logger: { stream: log } })
    t.teardown(() => app.close())
    const stores = [new MemoryStore(), new MemoryStore()] as const
    await app.register(sessionPlugin, { store: stores[0], cookie: { secure: true } })
    await app.register(sessionPlugin, { store: stores[1], cookie: { secure: true }, decoratorName: 'cart', cookieName: 'cart' })
    addCounters(app, 'session', 'cart')
    const browser = await visit(t, app)
    for (let i = 0; i < 3; i++) {
      for (const path of ['/session', '/cart']) t.same(await browser.post(path), { n: 1 }, 'the handler has its session, a new one each time')
    }
    t.same([...browser.cookies], [])
    t.same([await app.sessions.count(), await cartsOf(app).count()], [0, 0])
    const errors = log.from('error').map(line => JSON.parse(line) as { cookie: string, protocol: string, msg: string })
    t.match(errors, [{ cookie: 'sessionId', protocol: 'http', msg: /trustProxy/ }, { cookie: 'cart', protocol: 'http', msg: /trustProxy/ }])
    t.equal(errors.length, 2)
  })

  t.test('the route says for each how it locks', async (t) => {
    const app = newApp(t)
    await app.register(sessionPlugin)
    await app.register(sessionPlugin, { decoratorName: 'cart', cookieName: 'cart' })
    addCounters(app, 'session', 'cart')
    app.post('/rules', { config: { session: { locking: 'readonly' }, cart: false } as object }, async (request) => {
      t.equal((request as CartRequest).cart, undefined)
      await t.rejects((request as CartRequest).withCartLock(() => {}), TypeError)
      t.throws(() => request.session.set('n', 1), { code: 'FST_SESSION_READ_ONLY' })
      return { n: request.session.get('n') }
    })
    const browser = await visit(t, app)
    await browser.post('/session')
    await browser.post('/cart')
    t.same(await browser.post('/rules'), { n: 1 })
  })

  t.test('one cookie name for both is refused, as is one name on the request', async (t) => {
    const app = newApp(t)
    await app.register(sessionPlugin)
    await t.rejects(async () => await app.register(sessionPlugin, { decoratorName: 'cart' }), { code: 'FST_SESSION_INVALID_OPTION' })
    const other = newApp(t)
    await other.register(sessionPlugin)
    await t.rejects(async () => await other.register(sessionPlugin, { cookieName: 'other' }), { code: 'FST_ERR_DEC_ALREADY_PRESENT' })
    const nested = newApp(t)
    await nested.register(sessionPlugin)
    await t.rejects(async () => await nested.register(async (child) => {
      await child.register(compatPlugin, { secret: 'a secret of more than 32 characters' })
    }), { code: 'FST_SESSION_INVALID_OPTION' })
  })
})

t.test('sessions in a part of the application', async (t) => {
  const path = (name: string): SessionPluginOptions => ({ cookie: { path: `/${name}` } })

  t.test('a context has sessions, what is beside it has none', async (t) => {
    const app = newApp(t)
    await app.register(async (shop) => {
      await shop.register(sessionPlugin)
      addCounters(shop, 'session')
      // A context in the context has them, too.
      await shop.register(async (inner) => addCounters(inner, 'session'), { prefix: '/inner' })
    }, { prefix: '/shop' })
    app.get('/health', async (request) => ({ session: typeof request.session, sessions: typeof app.sessions }))
    const browser = await visit(t, app)
    t.same(await browser.post('/shop/session'), { n: 1 })
    t.same(await browser.post('/shop/inner/session'), { n: 2 })
    t.same(await browser.get('/health'), { session: 'undefined', sessions: 'undefined' })
    t.equal((await browser.fetch('/health')).headers.get('vary'), null)
  })

  t.test('contexts side by side have sessions of their own, also under the same names', async (t) => {
    const app = newApp(t)
    for (const name of ['shop', 'admin']) {
      await app.register(async (context) => {
        await context.register(sessionPlugin, path(name))
        addCounters(context, 'session')
      }, { prefix: `/${name}` })
    }
    const [shop, admin] = [await visit(t, app), new Browser('')].map((browser, _, [first]) => Object.assign(browser, { address: first!.address }))
    t.same(await shop!.post('/shop/session'), { n: 1 })
    t.same(await admin!.post('/admin/session'), { n: 1 })
    t.same(await shop!.post('/shop/session'), { n: 2 })
    t.same(await shop!.post('/admin/session'), { n: 1 }, 'the id of one is unknown in the other')
  })

  t.test('the prefix of a plugin is only that of its routes', async (t) => {
    const app = newApp(t)
    await app.register(sessionPlugin, { prefix: '/ignored', logLevel: 'error' } as SessionPluginOptions)
    addCounters(app, 'session')
    await app.register(async (api) => addCounters(api, 'session'), { prefix: '/api/v1' })
    const browser = await visit(t, app)
    t.same(await browser.post('/api/v1/session'), { n: 1 })
    t.same(await browser.post('/session'), { n: 2 })
  })
})

t.test('several applications on one store', async (t) => {
  t.test('in one process they share sessions and locks; the store is closed with the last', async (t) => {
    let closed = 0
    class Counted extends MemoryStore {
      close (): void { closed++ }
    }
    const store = new Counted()
    const apps: FastifyInstance[] = []
    for (let i = 0; i < 3; i++) {
      const app = newApp(t)
      await app.register(sessionPlugin, { store })
      addCounters(app, 'session')
      apps.push(app)
    }
    const browsers: Browser[] = []
    for (const app of apps) browsers.push(await visit(t, app))
    await browsers[0]!.post('/session')
    for (const browser of browsers.slice(1)) browser.cookies.set('sessionId', browsers[0]!.id!)
    await atOnce(60, index => browsers[index % 3]!.post('/session'))
    t.same(await browsers[2]!.post('/session'), { n: 62 })

    await apps[0]!.close()
    t.equal(closed, 0)
    t.same(await browsers[1]!.post('/session'), { n: 63 })
    await apps[1]!.close()
    await apps[2]!.close()
    t.equal(closed, 1)
  })

  t.test('file stores of one folder are one store', async (t) => {
    const directory = t.testdir()
    const browsers: Browser[] = []
    for (let i = 0; i < 3; i++) {
      const app = newApp(t)
      await app.register(sessionPlugin, { store: new FileStore({ directory }) })
      addCounters(app, 'session')
      browsers.push(await visit(t, app))
    }
    await browsers[0]!.post('/session')
    for (const browser of browsers.slice(1)) browser.cookies.set('sessionId', browsers[0]!.id!)
    await atOnce(60, index => browsers[index % 3]!.post('/session'))
    t.same(await browsers[2]!.post('/session'), { n: 62 })
  })
})
