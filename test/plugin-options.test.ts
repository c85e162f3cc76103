// What the options do, where the store does not matter. What they refuse is named.
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { randomBytes } from 'node:crypto'
import { deserialize, serialize } from 'node:v8'
import t, { type Test } from 'tap'
import sessionPlugin, { MemoryStore, type SessionPluginOptions, type Store } from '../lib/index.js'
import { Visitor } from '../lib/conformance/http/client.js'
import { WatchedStore } from '../lib/conformance/http/watched-store.js'

const HOUR = 60 * 60_000
const SECRET = 'a secret of more than 32 characters'
const NEW_SECRET = 'another secret of more than 32 characters'
const EXPLICIT = { config: { session: { locking: 'explicit' } } } as const

async function start (t: Test, options: SessionPluginOptions = {}, server: FastifyServerOptions = {}): Promise<FastifyInstance> {
  const app = Fastify(server) as unknown as FastifyInstance
  t.teardown(() => app.close())
  await app.register(sessionPlugin, options)
  app.get('/n', async ({ session }) => ({ n: session.get('n', 0), isNew: session.isNew }))
  app.post('/n', async ({ session }) => session.set('n', session.get('n', 0) + 1).data())
  return app
}

/** The message of the error that registering with these options throws. */
async function refusal (options: object): Promise<{ code?: string, message: string }> {
  const app = Fastify()
  try {
    await app.register(sessionPlugin, options as SessionPluginOptions)
    return { message: 'accepted' }
  } catch (error) {
    return error as Error
  } finally {
    await app.close()
  }
}

t.test('an option that is unknown or wrong fails at register, and the error names it', async (t) => {
  const wrong: Record<string, unknown[]> = {
    store: [null, {}, 'memory', { acquire () {} }, MemoryStore],
    locking: ['optimistic', '', true, null, 'Implicit'],
    lockTimeout: [-1, NaN, '10', null],
    maxWaiters: [-1, 1.5, NaN, '5'],
    maxHold: [0, -1, Infinity, NaN, '5'],
    idleTimeout: [0, -5, Infinity, '1h'],
    absoluteTimeout: [0, NaN, Infinity],
    rolling: [1, 'yes', null],
    touchInterval: [-1, Infinity, '1'],
    cookieName: ['', 'a b', 'a;b', 'a=b', 'ü', 5, 'a\nb'],
    cookie: [null, 'strict', []],
    secret: ['short', '', [], ['short'], [SECRET, 5], 5, { sign () {} }, null],
    generateId: ['id', null],
    serializer: [{}, { encode () {} }, JSON, null],
    saveOnError: [true, null],
    cleanupInterval: [-1, Infinity, '5'],
    maxRecordSize: [0, -1, 1.5, Infinity, '1MB'],
    cacheHeaders: ['no', 0],
    decoratorName: ['', 'a-b', '1a', 5],
    now: [5, null],
    unknown: [1],
    lockTimeOut: [1],
    constructor: [1],
    'cookie.maxAge': [5],
    'cookie.path': ['', 'app', '/a;b', '/a\nb', 5],
    'cookie.domain': ['', 'a;b', 5],
    'cookie.httpOnly': ['yes'],
    'cookie.secure': ['true', 1],
    'cookie.sameSite': ['Lax', 'other', 5],
    'cookie.partitioned': ['yes'],
    'cookie.priority': ['High', 1],
    'cookie.persistent': ['no']
  }
  for (const [name, values] of Object.entries(wrong)) {
    for (const value of values) {
      const [outer, inner] = name.split('.')
      const { code, message } = await refusal(inner === undefined ? { [outer!]: value } : { cookie: { [inner]: value } })
      t.equal(code, 'FST_SESSION_INVALID_OPTION', `${name}: ${String(value)}`)
      t.ok(message.includes(`"${name}"`), message)
    }
  }
})

t.test('what is allowed is accepted', async (t) => {
  const right: SessionPluginOptions[] = [
    {},
    { lockTimeout: Infinity, maxWaiters: Infinity },
    { lockTimeout: 0, maxWaiters: 0, touchInterval: 0, cleanupInterval: 0 },
    { cookie: { sameSite: true, secure: false, path: '/app', domain: 'example.org', httpOnly: false, priority: 'low' } },
    { cookieName: 'a!#$%&\'*+-.^_`|~b' },
    { secret: [SECRET, NEW_SECRET] },
    Object.fromEntries(['store', 'locking', 'secret', 'cookie', 'serializer', 'now'].map(name => [name, undefined]))
  ]
  for (const options of right) t.equal((await refusal(options)).message, 'accepted')
  t.equal((await refusal({ prefix: '/of-fastify', logLevel: 'warn' })).message, 'accepted')
})

t.test('I7: cookies that a browser would drop without a word are refused', async (t) => {
  const wrong: Array<[string, SessionPluginOptions]> = [
    ['cookie.secure', { cookieName: '__Host-id' }],
    ['cookie.secure', { cookieName: '__Host-id', cookie: { secure: 'auto' } }],
    ['cookie.secure', { cookieName: '__hOST-id', cookie: { secure: false } }],
    ['cookie.domain', { cookieName: '__Host-id', cookie: { secure: true, domain: 'example.org' } }],
    ['cookie.path', { cookieName: '__Host-id', cookie: { secure: true, path: '/app' } }],
    ['cookie.secure', { cookieName: '__Secure-id' }],
    ['cookie.secure', { cookieName: '__SECURE-id', cookie: { secure: 'auto' } }],
    ['cookie.sameSite', { cookie: { sameSite: 'none' } }],
    ['cookie.partitioned', { cookie: { partitioned: true, secure: 'auto' } }],
    ['idleTimeout', { idleTimeout: 401 * 24 * HOUR, absoluteTimeout: 401 * 24 * HOUR }]
  ]
  for (const [name, options] of wrong) {
    const { code, message } = await refusal(options)
    t.equal(code, 'FST_SESSION_INVALID_OPTION', JSON.stringify(options))
    t.ok(message.includes(`"${name}"`), message)
  }
  const right: SessionPluginOptions[] = [
    { cookieName: '__Host-id', cookie: { secure: true } },
    { cookieName: '__Secure-id', cookie: { secure: true, domain: 'example.org', path: '/app' } },
    { cookie: { sameSite: 'none', secure: true, partitioned: true } },
    { idleTimeout: 400 * 24 * HOUR, absoluteTimeout: 400 * 24 * HOUR },
    { idleTimeout: 500 * 24 * HOUR, absoluteTimeout: 500 * 24 * HOUR, cookie: { persistent: false } }
  ]
  for (const options of right) t.equal((await refusal(options)).message, 'accepted')
})

t.test('I2: generateId is tried at register', async (t) => {
  let calls = 0
  const wrong: Array<() => unknown> = [
    () => 5, () => undefined, () => '', () => 'short', () => 'x'.repeat(257), () => `${randomBytes(16).toString('base64')}==`,
    () => randomBytes(15).toString('hex'), () => `${'1234567890'.repeat(3)}${calls++}`, () => crypto.randomUUID(),
    () => `${randomBytes(24).toString('base64url')};`
  ]
  for (const generateId of wrong) t.equal((await refusal({ generateId })).code, 'FST_SESSION_INVALID_ID', String(generateId))
  const constant = randomBytes(24).toString('base64url')
  const { code, message } = await refusal({ generateId: () => constant })
  t.equal(code, 'FST_SESSION_INVALID_OPTION', 'always the same')
  t.ok(message.includes('"generateId"'))
  t.match(await refusal({ generateId () { throw new Error('no entropy') } }), { message: 'no entropy' })
  for (const generateId of [() => randomBytes(16).toString('hex'), () => randomBytes(16).toString('base64url'), () => `${randomBytes(32).toString('hex')}.v2`]) {
    t.equal((await refusal({ generateId })).message, 'accepted', String(generateId))
  }
})

t.test('an own generateId makes the ids', async (t) => {
  const app = await start(t, { generateId: () => `own-${randomBytes(24).toString('hex')}` })
  const visitor = new Visitor(app)
  await visitor.post('/n')
  t.match(visitor.cookie, /^own-[0-9a-f]{48}$/)
  t.same((await visitor.post('/n')).body, { n: 2 })
})

t.test('a route whose settings are wrong cannot be declared', async (t) => {
  const wrong: unknown[] = [true, null, 'readonly', 5, [], { locking: 'none' }, { lockTimeout: -1 }, { maxHold: 0 }, { maxWaiters: 5 }, { locking: 'explicit', unknown: 1 }]
  for (const session of wrong) {
    const app = await start(t)
    t.throws(() => app.get('/wrong', { config: { session: session as false } }, async () => 'x'), { code: 'FST_SESSION_INVALID_OPTION' }, JSON.stringify(session))
  }
  const app = await start(t)
  const right = [false, {}, undefined, { locking: 'readonly', lockTimeout: Infinity, maxHold: 1 }]
  for (const [index, session] of right.entries()) app.get(`/right/${index}`, { config: { session: session as false } }, async () => 'x')
  for (const index of right.keys()) t.equal((await app.inject(`/right/${index}`)).statusCode, 200)
})

t.test('a route declared in the same tick as the plugin counts as well, right or wrong', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  app.register(sessionPlugin)
  const answer = async ({ session }: { session?: { set (key: string, value: number): unknown } }) => {
    try {
      session?.set('n', 1)
      return session === undefined ? 'none' : 'written'
    } catch (error) {
      return (error as { code: string }).code
    }
  }
  app.get('/plain', answer)
  app.get('/explicit', EXPLICIT, answer)
  app.get('/false', { config: { session: false } }, answer)
  app.get('/wrong', { config: { session: { locking: 'none' as 'explicit' } } }, answer)
  app.get('/true', { config: { session: true as unknown as false } }, answer)
  t.equal((await app.inject('/plain')).body, 'written')
  t.equal((await app.inject('/explicit')).body, 'FST_SESSION_NOT_LOCKED')
  t.equal((await app.inject('/false')).body, 'none')
  for (const url of ['/wrong', '/wrong', '/true']) {
    const { statusCode, body } = await app.inject(url)
    t.equal(statusCode, 500)
    t.equal(JSON.parse(body).code, 'FST_SESSION_INVALID_OPTION')
  }
})

t.test('without secret the cookie is the id; with one it is signed', async (t) => {
  const plain = new Visitor(await start(t))
  await plain.post('/n')
  t.match(plain.cookie, /^[\w-]{32}$/)

  const store = new WatchedStore(new MemoryStore())
  const app = await start(t, { store, secret: SECRET })
  const signed = new Visitor(app)
  await signed.post('/n')
  t.match(signed.cookie, /^[\w-]{32}\..+/)
  t.same((await signed.post('/n')).body, { n: 2 })

  await t.test('one that is not signed, or signed otherwise, costs no question to the store', async (t) => {
    const [id, signature] = signed.cookie!.split('.') as [string, string]
    for (const cookie of [id, `${id}.`, `${id}.${signature.slice(0, -2)}`, `${id}.${signature.toUpperCase()}`, `${id.slice(1)}x.${signature}`, `${id}.x`, `s:${id}.${signature}`, `.${signature}`]) {
      store.forget()
      t.same((await new Visitor(app, cookie).get('/n')).body, { n: 0, isNew: true }, cookie.replace(id, 'id'))
      t.same(store.calls, [])
    }
  })
})

t.test('secrets may be rotated: the first signs, all verify, and an old cookie is renewed', async (t) => {
  const store = new MemoryStore()
  const before = new Visitor(await start(t, { store, secret: SECRET }))
  await before.post('/n')

  const during = before.at(await start(t, { store, secret: [NEW_SECRET, SECRET] }))
  const renewed = await during.get('/n')
  t.same(renewed.body, { n: 1, isNew: false })
  t.equal(renewed.setCookie.length, 1, 'sent again, signed with the new secret')
  t.not(during.cookie, before.cookie)
  t.equal(during.cookie!.split('.')[0], before.cookie!.split('.')[0], 'the same id')
  t.equal((await during.get('/n')).setCookie.length, 0, 'once')

  const after = await start(t, { store, secret: NEW_SECRET })
  t.same((await during.at(after).get('/n')).body, { n: 1, isNew: false })
  const { status, body } = await before.at(after).get('/n')
  t.same([status, body], [200, { n: 0, isNew: true }], 'an old one that was never renewed is no error')
  t.same(await refusal({ secret: [NEW_SECRET, 'short'] }).then(({ code }) => code), 'FST_SESSION_INVALID_OPTION')
})

t.test('a signer of the application signs', async (t) => {
  const asked: string[] = []
  const secret = {
    sign: (value: string) => `${value}~signed`,
    unsign (value: string) {
      asked.push(value)
      const valid = value.endsWith('~signed') || value.endsWith('~old')
      return { valid, value: valid ? value.replace(/~\w+$/, '') : null, renew: value.endsWith('~old') }
    }
  }
  const app = await start(t, { secret })
  const visitor = new Visitor(app)
  await visitor.post('/n')
  t.ok(visitor.cookie!.endsWith('~signed'))
  t.same((await visitor.post('/n')).body, { n: 2 })
  visitor.cookie = visitor.cookie!.replace('~signed', '~old')
  t.same((await visitor.get('/n')).body, { n: 2, isNew: false })
  t.ok(visitor.cookie.endsWith('~signed'), 'renewed')
  t.same((await new Visitor(app, visitor.cookie.replace('~signed', '~forged')).get('/n')).body, { n: 0, isNew: true })
  t.equal((await new Visitor(app, 'x'.repeat(2000)).get('/n')).status, 200)
  t.notOk(asked.some(value => value.length > 1024), 'nothing huge is handed to it')
})

t.test('another serializer keeps other types', async (t) => {
  const app = await start(t, { serializer: { encode: serialize, decode: raw => deserialize(raw as Uint8Array) } })
  const date = new Date(5)
  app.post('/types', async ({ session }) => {
    session.update({ date, map: new Map([[1, new Set(['a'])]]), big: 10n, nothing: null, bytes: Buffer.from([1, 2]) })
  })
  app.get('/types', async ({ session }) => {
    t.same(session.get('date'), date)
    t.same(session.get('map'), new Map([[1, new Set(['a'])]]))
    t.equal(session.get('big'), 10n)
    t.equal(session.get('nothing'), null)
    session.get('map').get(1).add('b')
  })
  app.get('/map', async ({ session }) => [...session.get('map').get(1)])
  const visitor = new Visitor(app)
  await visitor.post('/types')
  t.equal((await visitor.get('/types')).status, 200)
  t.same((await visitor.get('/map')).body, ['a', 'b'], 'a nested change counts')
})

t.test('L3: what was read outside the lock is frozen, however deep it is', async (t) => {
  const serializer = {
    encode: (data: object) => Object.keys(data).join(),
    decode () {
      let deep: unknown[] = []
      for (let i = 0; i < 50_000; i++) deep = [deep, i]
      return { deep }
    }
  }
  const app = await start(t, { serializer })
  app.post('/', async ({ session }) => { session.set('deep', []) })
  app.get('/', { config: { session: { locking: 'readonly' } } }, async ({ session }) => {
    let depth = 0
    for (let at = session.get('deep'); at !== undefined && Object.isFrozen(at); at = at[0]) depth++
    return { depth }
  })
  const visitor = new Visitor(app)
  await visitor.post('/')
  t.same((await visitor.get('/')).body, { depth: 50_001 })
})

t.test('S3: a serializer that encodes otherwise each time costs no needless write', async (t) => {
  const store = new WatchedStore(new MemoryStore())
  const serializer = {
    encode: (data: object) => Buffer.concat([randomBytes(12), Buffer.from(JSON.stringify(data))]),
    decode: (raw: string | Uint8Array) => JSON.parse(Buffer.from(raw as Uint8Array).subarray(12).toString())
  }
  const app = await start(t, { store, serializer })
  app.post('/list', async ({ session }) => { session.set('list', [1, { a: 1 }]) })
  app.get('/list', async ({ session }) => session.get('list'))
  app.post('/push', async ({ session }) => { session.get('list').push(2) })
  const visitor = new Visitor(app)
  await visitor.post('/list')
  store.forget()
  t.same((await visitor.get('/list')).body, [1, { a: 1 }])
  t.equal(store.times('save'), 0)
  await visitor.post('/push')
  t.equal(store.times('save'), 1)
  t.same((await visitor.get('/list')).body, [1, { a: 1 }, 2])
})

t.test('S5: when a serializer of the application throws, the key is named and the value is not', async (t) => {
  const serializer = {
    encode (data: Record<string, unknown>) {
      if (Object.values(data).includes('value-of-the-secret')) throw new Error('cannot encode value-of-the-secret')
      return JSON.stringify(data)
    },
    decode: (raw: string | Uint8Array) => JSON.parse(String(raw))
  }
  const app = await start(t, { serializer })
  app.get('/', async ({ session }) => { session.set('fine', 1).set('culprit', 'value-of-the-secret') })
  const { status, body, text } = await new Visitor(app).get('/')
  t.same([status, body.code], [500, 'FST_SESSION_NOT_SERIALIZABLE'])
  t.ok(text.includes('culprit'))
  t.notOk(text.includes('value-of-the-secret'))
})

t.test('two names on the request are two sessions', async (t) => {
  const store = new MemoryStore()
  const app = await start(t, { store })
  await app.register(sessionPlugin, { store, decoratorName: 'cart', cookieName: 'cart', idleTimeout: 24 * HOUR })
  type WithCart = { cart: any, withCartLock: any }
  app.post('/both', async (request) => {
    const { cart } = request as unknown as WithCart
    request.session.set('n', 1)
    cart.set('articles', ['tea'])
    return 'both'
  })
  app.post('/cart', { config: { session: { locking: 'readonly' }, cart: { locking: 'explicit' } } as object }, async (request) => {
    const { cart, withCartLock } = request as unknown as WithCart
    const codes = []
    for (const session of [request.session, cart]) {
      try { session.set('n', 2) } catch (error) { codes.push((error as { code: string }).code) }
    }
    await withCartLock.call(request, (cart: any) => { cart.get('articles').push('milk') })
    return codes
  })
  app.post('/only', { config: { session: false } }, async (request) => {
    const { cart } = request as unknown as WithCart
    return [typeof request.session, cart.get('articles')]
  })
  app.get('/hijack', (request, reply) => {
    const { cart } = request as unknown as WithCart
    request.session.set('n', 5)
    cart.set('articles', ['salt'])
    reply.hijack().raw.end('raw')
  })

  const first = await app.inject({ method: 'POST', url: '/both' })
  const cookies = Object.fromEntries(first.cookies.map(({ name, value }) => [name, value]))
  t.same(Object.keys(cookies).sort(), ['cart', 'sessionId'])
  t.same((await app.inject({ method: 'POST', url: '/cart', cookies })).json(), ['FST_SESSION_READ_ONLY', 'FST_SESSION_NOT_LOCKED'])
  t.same((await app.inject({ method: 'POST', url: '/only', cookies })).json(), ['undefined', ['tea', 'milk']])
  const { carts } = app as unknown as { carts: typeof app.sessions }
  t.equal(carts.store, app.sessions.store)
  t.same((await carts.get(cookies['cart']!))?.data(), { articles: ['tea', 'milk'] })
  t.same((await app.sessions.get(cookies['sessionId']!))?.data(), { n: 1 })
  await Promise.all(Array.from({ length: 20 }, () => app.inject({ method: 'POST', url: '/n', cookies })))
  t.same((await app.sessions.get(cookies['sessionId']!))?.data(), { n: 21 })
  const hijacked = await app.inject({ url: '/hijack' })
  t.same(hijacked.cookies.map(({ name }) => name).sort(), ['cart', 'sessionId'])
  const { acquired, released, held } = app.sessions.stats().locks
  t.same([released, held], [acquired, 0])
  t.match(await refusal({ decoratorName: 'body' }), { code: 'FST_ERR_DEC_ALREADY_PRESENT' })
})

t.test('a store that is shared by two plugins is opened once and closed once, by the last', async (t) => {
  const calls: string[] = []
  class Counted extends MemoryStore {
    override open (...args: Parameters<MemoryStore['open']>) {
      calls.push('open')
      super.open(...args)
    }

    close () { calls.push('close') }
  }
  const store: Store = new Counted()
  const apps = [await start(t, { store }), await start(t, { store })]
  await apps[0]!.close()
  t.same(calls, ['open'])
  t.equal((await new Visitor(apps[1]!).post('/n')).status, 200)
  await apps[1]!.close()
  t.same(calls, ['open', 'close'])
})

t.test('a store that cannot be opened fails the registration', async (t) => {
  class Broken extends MemoryStore {
    override open () { throw new Error('no such server') }
  }
  t.match(await refusal({ store: new Broken() }), { message: 'no such server' })
  const store = new Broken()
  await refusal({ store })
  t.match(await refusal({ store }), { message: 'no such server' }, 'the next registration tries again')
})

t.test('saveOnError decides whether a request that failed keeps its changes', async (t) => {
  const asked: unknown[] = []
  const failure = Object.assign(new Error('no'), { statusCode: 403 })
  const cases: Array<[SessionPluginOptions['saveOnError'], Record<string, number>]> = [
    [undefined, { '/403': 1, '/404': 1, '/500': 0, '/plain/500': 0, '/plain/404': 1, '/302': 1, '/undefined': 0 }],
    [() => true, { '/403': 1, '/404': 1, '/500': 1, '/plain/500': 1, '/plain/404': 1, '/302': 1 }],
    [() => false, { '/403': 0, '/404': 0, '/500': 0, '/plain/500': 0, '/plain/404': 1, '/302': 1 }],
    [(error, statusCode) => { asked.push([error, statusCode]); return false }, { '/403': 0, '/plain/503': 0 }]
  ]
  for (const [saveOnError, expected] of cases) {
    const app = await start(t, saveOnError === undefined ? {} : { saveOnError })
    app.addHook('preHandler', async ({ session, method }) => {
      if (method === 'DELETE') session.set('n', session.get('n') + 1)
    })
    app.delete('/403', async () => { throw failure })
    app.delete('/404', async () => { throw Object.assign(new Error('nothing'), { statusCode: 404 }) })
    app.delete('/500', async () => { throw new Error('broken') })
    // eslint-disable-next-line prefer-promise-reject-errors
    app.delete('/undefined', () => Promise.reject())
    app.delete('/plain/:status', async ({ params }, reply) => await reply.code(Number((params as { status: string }).status)).send('plain'))
    app.delete('/302', (_request, reply) => reply.redirect('/n'))
    for (const [url, n] of Object.entries(expected)) {
      const visitor = new Visitor(app)
      await visitor.post('/n')
      await app.inject({ method: 'DELETE', url, cookies: { sessionId: visitor.cookie! } })
      t.same((await visitor.get('/n')).body, { n: 1 + n, isNew: false }, `${String(saveOnError)} ${url}`)
    }
  }
  t.same(asked, [[failure, 403], [undefined, 503]])
})

t.test('cacheHeaders: false leaves caching to the application', async (t) => {
  for (const cacheHeaders of [true, false]) {
    const visitor = new Visitor(await start(t, { cacheHeaders }))
    const { headers } = await visitor.post('/n')
    t.same([headers['cache-control'], headers.vary], cacheHeaders ? ['no-store', 'Cookie'] : [undefined, undefined])
    t.equal((await visitor.get('/n')).headers.vary, cacheHeaders ? 'Cookie' : undefined)
  }
})

t.test('persistent: false: the cookie ends with the browser, the session as always', async (t) => {
  let time = Date.now()
  const app = await start(t, { now: () => time, cookie: { persistent: false } })
  app.post('/logout', async ({ session }) => { await session.destroy() })
  const visitor = new Visitor(app)
  const { setCookie: [line] } = await visitor.post('/n')
  t.notMatch(line, /max-age|expires/i)
  t.match(line, /^sessionId=[^;]+; Path=\/; HttpOnly; SameSite=Lax$/)
  const { cookie } = visitor
  time += HOUR - 1
  t.same((await visitor.get('/n')).body, { n: 1, isNew: false })
  const { setCookie: [cleared] } = await visitor.post('/logout')
  t.match(cleared, /Max-Age=0/)
  await visitor.post('/n')
  time += HOUR
  t.same((await visitor.get('/n')).body, { n: 0, isNew: true })
  t.not(visitor.cookie, cookie)
})

t.test('the clock is Date.now as it is at each call', async (t) => {
  const visitor = new Visitor(await start(t))
  await visitor.post('/n')
  const { now } = Date
  t.teardown(() => { Date.now = now })
  Date.now = () => now() + HOUR + 1
  t.same((await visitor.get('/n')).body, { n: 0, isNew: true })
})

t.test('@fastify/cookie is registered when the application has not done it, and used when it has', async (t) => {
  const { default: fastifyCookie } = await import('@fastify/cookie')
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifyCookie, { secret: SECRET })
  await app.register(sessionPlugin)
  app.post('/', async ({ session, unsignCookie }, reply) => {
    reply.setCookie('own', 'x', { signed: true })
    session.set('n', 1)
    return typeof unsignCookie
  })
  const { cookies, body } = await app.inject({ method: 'POST', url: '/' })
  t.same(cookies.map(({ name }) => name).sort(), ['own', 'sessionId'])
  t.equal(body, 'function')

  const switchedOff = Fastify()
  t.teardown(() => switchedOff.close())
  await switchedOff.register(fastifyCookie, { hook: false })
  await switchedOff.register(sessionPlugin)
  switchedOff.get('/', async ({ session }) => ({ n: session.get('n', 0) }))
  switchedOff.post('/', async ({ session }) => { session.set('n', 5) })
  const visitor = new Visitor(switchedOff)
  await visitor.post('/')
  t.same((await visitor.get('/')).body, { n: 5 })
})

t.test('in a plugin that is encapsulated the options and sessions of the outer one count', async (t) => {
  const app = await start(t, { locking: 'explicit' })
  await app.register(async (inner) => {
    inner.post('/inner', async (request) => await request.withSessionLock((session) => session.set('n', session.get('n', 0) + 1).data()))
  }, { prefix: '/deep' })
  const visitor = new Visitor(app)
  t.same((await visitor.post('/deep/inner')).body, { n: 1 })
  t.same((await visitor.post('/deep/inner')).body, { n: 2 })
})
