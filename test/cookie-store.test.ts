// The cookie store: the whole session in one encrypted cookie, and what that cannot do.
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import { deserialize, serialize } from 'node:v8'
import t from 'tap'
import sessionPlugin, { type SessionPluginOptions } from '../lib/index.js'
import { CookieStore } from '../lib/stores/cookie/index.js'

const SECRET = 'a secret of more than 32 characters'
const OTHER = 'another secret, of more than 32 characters'
const HOUR = 3_600_000

async function build (options: SessionPluginOptions = {}, secret: string | string[] = SECRET): Promise<FastifyInstance> {
  const app = Fastify()
  await app.register(sessionPlugin, { store: new CookieStore({ secret }), locking: 'explicit', ...options })
  app.post('/set', async (request: FastifyRequest) => await request.withSessionLock((session) => session.update(request.body as object).data()))
  app.get('/data', async ({ session }) => session.data())
  app.get('/id', async ({ session }) => ({ id: session.id }))
  app.post('/login', async ({ session }) => {
    await session.regenerate(true)
    return { id: session.id }
  })
  app.post('/logout', async ({ session }) => { await session.destroy() })
  t.teardown(() => app.close())
  return app
}

class Browser {
  cookie: string | undefined
  app: FastifyInstance

  constructor (app: FastifyInstance) { this.app = app }

  async send (method: 'GET' | 'POST', url: string, payload?: object) {
    const response = await this.app.inject({ method, url, ...(payload && { payload }), ...(this.cookie && { headers: { cookie: `sessionId=${this.cookie}` } }) })
    const set = response.cookies.find(cookie => cookie.name === 'sessionId')
    if (set !== undefined) this.cookie = set.maxAge === 0 ? undefined : set.value
    return { status: response.statusCode, body: response.body === '' ? null : response.json(), set, headers: response.headers }
  }
}

t.test('L4 each change reaches the client, however soon after the last one', async (t) => {
  const browser = new Browser(await build())
  for (const n of [1, 2, 3]) {
    t.match(await browser.send('POST', '/set', { n }), { status: 200, set: { name: 'sessionId' } })
    t.same((await browser.send('GET', '/data')).body, { n })
  }
  t.equal((await browser.send('POST', '/set', { n: 3 })).set, undefined, 'nothing has changed')
})

t.test('it says that it cannot lock', async (t) => {
  const store = new CookieStore({ secret: SECRET })
  t.equal(store.scope, 'none')
  t.equal(store.locking, 'none')
  const app = await build()
  t.equal(app.sessions.scope, 'none')
})

t.test('L1: what it cannot do is refused when it is registered', async (t) => {
  const refused = { code: 'FST_SESSION_INVALID_OPTION' }
  const store = new CookieStore({ secret: SECRET })
  const register = async (options: SessionPluginOptions) => { await Fastify().register(sessionPlugin, { store, ...options }) }
  await t.rejects(register({}), { ...refused, message: /"locking"/ }, 'locking is implicit by default')
  await t.rejects(register({ locking: 'implicit' }), refused)
  await t.rejects(register({ locking: 'explicit', secret: SECRET }), { ...refused, message: /"secret"/ })
  const app = await build()
  t.throws(() => app.get('/implicit', { config: { session: { locking: 'implicit' } } }, async () => 'x'), refused)
  for (const options of [{}, { secret: 'short' }, { secret: [] }, { secret: [SECRET, 'short'] }, { secret: SECRET, algorithm: 'x' }, undefined]) {
    t.throws(() => new CookieStore(options as never), refused, JSON.stringify(options))
  }
})

t.test('the session is in the cookie, and nobody can read or change it there', async (t) => {
  const browser = new Browser(await build())
  t.same((await browser.send('POST', '/set', { name: 'Ada' })).body, { name: 'Ada' })
  const { cookie } = browser
  t.notMatch(Buffer.from(cookie!, 'base64url').toString('latin1'), 'Ada')
  t.same((await browser.send('GET', '/data')).body, { name: 'Ada' })

  await t.test('another application with the same secret reads it', async (t) => {
    const other = new Browser(await build())
    other.cookie = cookie
    t.same((await other.send('GET', '/data')).body, { name: 'Ada' })
  })
  await t.test('C2: a changed or cut one is no session', async (t) => {
    const bytes = Buffer.from(cookie!, 'base64url')
    for (let at = 0; at < bytes.length; at += 7) {
      const changed = Buffer.from(bytes)
      changed[at]! ^= 1
      browser.cookie = changed.toString('base64url')
      t.same((await browser.send('GET', '/data')).body, {}, `byte ${at}`)
    }
    for (const value of ['', 'x', cookie!.slice(0, 60), cookie!.slice(1), 'A'.repeat(5000)]) {
      browser.cookie = value
      t.same((await browser.send('GET', '/data')).body, {})
    }
  })
  await t.test('it is worth nothing under another name', async (t) => {
    const other = new Browser(await build({ cookieName: 'admin' }))
    const response = await other.app.inject({ url: '/data', headers: { cookie: `admin=${cookie}` } })
    t.same(response.json(), {})
  })
})

t.test('S3: the cookie is written only when the session has changed', async (t) => {
  let time = Date.now()
  const browser = new Browser(await build({ now: () => time }))
  await browser.send('POST', '/set', { n: 1 })
  time += HOUR / 2
  t.equal((await browser.send('GET', '/data')).set, undefined)
  t.equal((await browser.send('POST', '/set', {})).set, undefined)
  t.not((await browser.send('POST', '/set', { n: 2 })).set, undefined)
})

t.test('S4: no data, no cookie', async (t) => {
  const browser = new Browser(await build())
  t.equal((await browser.send('GET', '/data')).set, undefined)
  t.equal((await browser.send('POST', '/set', {})).set, undefined)
})

t.test('I4: it ends idleTimeout after the last save, and absoluteTimeout after the first', async (t) => {
  let time = Date.now()
  const options = { now: () => time, idleTimeout: HOUR, absoluteTimeout: 2.5 * HOUR }
  const browser = new Browser(await build(options))
  const [first] = [(await browser.send('POST', '/set', { n: 1 })).set]
  t.equal(first?.maxAge, 3600)
  for (let n = 2; n <= 3; n++) {
    time += 0.9 * HOUR
    t.same((await browser.send('POST', '/set', { n })).body, { n })
  }
  time += 0.75 * HOUR
  t.same((await browser.send('GET', '/data')).body, {}, 'absoluteTimeout is over, whatever the browser sends')

  await t.test('a visit moves it with rolling: true', async (t) => {
    const browser = new Browser(await build({ ...options, rolling: true }))
    await browser.send('POST', '/set', { n: 1 })
    time += 0.9 * HOUR
    t.not((await browser.send('GET', '/data')).set, undefined)
    time += 0.9 * HOUR
    t.same((await browser.send('GET', '/data')).body, { n: 1 })
  })
})

t.test('I8: a session that browsers would drop is refused, and the old one stays', async (t) => {
  const app = await build()
  app.post('/save', async ({ session }) => {
    await session.acquireLock()
    session.set('filling', 'x'.repeat(5000))
    await session.save()
  })
  const browser = new Browser(app)
  await browser.send('POST', '/set', { n: 1 })
  for (const [url, payload] of [['/set', { filling: 'x'.repeat(3000) }], ['/save', undefined]] as const) {
    const { status, body, set } = await browser.send('POST', url, payload)
    t.match({ status, body }, { status: 500, body: { code: 'FST_SESSION_TOO_LARGE' } })
    t.equal(set, undefined)
  }
  t.same((await browser.send('GET', '/data')).body, { n: 1 })
  const { status, headers } = await browser.send('POST', '/set', { filling: 'x'.repeat(2700) })
  t.equal(status, 200)
  t.ok(String(headers['set-cookie']).length <= 4096)
})

t.test('secrets rotate: old ones decrypt, the first one encrypts', async (t) => {
  const browser = new Browser(await build())
  await browser.send('POST', '/set', { n: 1 })
  browser.app = await build({}, [OTHER, SECRET])
  const { body, set } = await browser.send('GET', '/data')
  t.same(body, { n: 1 })
  t.not(set, undefined, 'it is sent again under the new secret')
  t.equal((await browser.send('GET', '/data')).set, undefined, 'once')
  browser.app = await build({}, OTHER)
  t.same((await browser.send('GET', '/data')).body, { n: 1 })
  browser.app = await build({}, SECRET)
  t.same((await browser.send('GET', '/data')).body, {}, 'a secret that was taken away opens nothing')
})

t.test('I3: regenerate gives another id, destroy clears the cookie', async (t) => {
  const browser = new Browser(await build())
  await browser.send('POST', '/set', { n: 1 })
  const { id } = (await browser.send('GET', '/id')).body
  t.equal((await browser.send('GET', '/id')).body.id, id)
  const login = (await browser.send('POST', '/login')).body
  t.not(login.id, id)
  t.same((await browser.send('GET', '/data')).body, { n: 1 })
  const { set } = await browser.send('POST', '/logout')
  t.match(set, { value: '', maxAge: 0 })
  t.same((await browser.send('GET', '/data')).body, {})
})

t.test('I5: of two cookies with live sessions none is used', async (t) => {
  const app = await build()
  const [one, two] = [new Browser(app), new Browser(app)]
  await one.send('POST', '/set', { n: 1 })
  await two.send('POST', '/set', { n: 2 })
  const read = async (...cookies: string[]) => (await app.inject({ url: '/data', headers: { cookie: cookies.map(cookie => `sessionId=${cookie}`).join('; ') } })).json()
  t.same(await read(one.cookie!, two.cookie!), {})
  t.same(await read('damaged', two.cookie!), { n: 2 })
})

t.test('L4, L5: sections of one request roll back, nest, and exclude each other', async (t) => {
  const app = await build()
  app.post('/sections', async (request) => {
    const add = async () => await request.withSessionLock(async (session) => {
      const before = session.get('n', 0)
      await new Promise(resolve => setImmediate(resolve))
      return await request.withSessionLock(() => session.set('n', before + 1).get('n'))
    })
    await Promise.all([add(), add(), add()])
    await request.withSessionLock((session) => { session.set('n', 100); throw new Error('no') }).catch(() => {})
    return { n: request.session.get('n') }
  })
  const browser = new Browser(app)
  t.same((await browser.send('POST', '/sections')).body, { n: 3 })
  t.same((await browser.send('POST', '/sections')).body, { n: 6 })
})

t.test('S7: what can no longer reach the client throws', async (t) => {
  const app = await build()
  const late: { code?: string } = {}
  let done!: () => void
  const over = new Promise<void>(resolve => { done = resolve })
  app.get('/late', async (request, reply) => {
    reply.send('sent')
    await new Promise(resolve => setTimeout(resolve, 10))
    await request.withSessionLock(session => session.set('n', 2)).catch((error) => { late.code = error.code })
    done()
    return reply
  })
  const browser = new Browser(app)
  await browser.send('POST', '/set', { n: 1 })
  await app.inject({ url: '/late', headers: { cookie: `sessionId=${browser.cookie}` } })
  await over
  t.equal(late.code, 'FST_SESSION_COMMITTED')
})

t.test('L6: a hijacked reply carries the cookie', async (t) => {
  const app = await build()
  app.get('/hijack', async (request, reply) => {
    await request.session.acquireLock()
    request.session.set('n', 7)
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': 'text/plain' })
    reply.raw.end('raw')
  })
  const address = await app.listen({ host: '127.0.0.1', port: 0 })
  const response = await fetch(`${address}/hijack`)
  const [cookie] = response.headers.getSetCookie()
  const answer = await fetch(`${address}/data`, { headers: { cookie: cookie!.split(';')[0]! } })
  t.same(await answer.json(), { n: 7 })
})

t.test('outside of a request it can only be read', async (t) => {
  const app = await build()
  const browser = new Browser(app)
  await browser.send('POST', '/set', { n: 1 })
  const { id } = (await browser.send('GET', '/id')).body
  const header = `a=b; sessionId=${browser.cookie}`
  t.equal(await app.sessions.with(header, session => session.get('n')), 1)
  await t.rejects(app.sessions.with(header, session => { session.set('n', 2) }), { code: 'FST_SESSION_COMMITTED' })
  await t.rejects(app.sessions.with('sessionId=x', () => 1), { code: 'FST_SESSION_NOT_FOUND' })
  const unsupported = { code: 'FST_SESSION_UNSUPPORTED', statusCode: 501 }
  await t.rejects(app.sessions.with(id, () => 1), unsupported)
  await t.rejects(app.sessions.get(id), unsupported)
  await t.rejects(app.sessions.destroy(id), unsupported)
  await t.rejects(app.sessions.destroyByUser('Ada'), unsupported, 'a log-out everywhere must not seem to work')
  await t.rejects(app.sessions.count(), unsupported)
  await t.rejects(app.sessions.entries().next(), unsupported)
  t.same(await app.sessions.prune(), { deleted: 0, remaining: 0 })
})

t.test('I8: bytes, hostile keys and the user come back as they were', async (t) => {
  const app = await build({ serializer: { encode: serialize, decode: raw => deserialize(raw as Uint8Array) } })
  app.post('/user', async (request) => await request.withSessionLock(session => {
    session.setUser('Ada')
    session.set('date', new Date(0)).set('__proto__', 'plain')
  }))
  app.get('/user', async ({ session }) => ({ user: session.user, isDate: session.get('date') instanceof Date, proto: session.get('__proto__') }))
  const browser = new Browser(app)
  await browser.send('POST', '/user')
  t.same((await browser.send('GET', '/user')).body, { user: 'Ada', isDate: true, proto: 'plain' })
})
