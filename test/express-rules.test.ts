// What is particular to stores for express-session: others that use them, callbacks, expiry, and locks from elsewhere.
import session from 'express-session'
import Fastify, { type FastifyInstance } from 'fastify'
import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { sessionPlugin, MemoryStore, LockLostError, type Lease, type SessionPluginOptions, type SessionRecord, type Store, type StoreContext, type Ticket } from '../lib/index.js'
import { keyOf } from '../lib/session/id.js'
import { type ExpressSessionStore, ExpressStore } from '../lib/stores/express/index.js'
import { FileStore } from '../lib/stores/file/index.js'
import { Visitor } from './helpers/documentation.js'
import { PUBLISHED } from './helpers/express-stores.js'

const HOUR = 60 * 60_000
const KEY = 'ab'.repeat(32)

async function appOn (t: Test, store: Store, options: SessionPluginOptions = {}): Promise<FastifyInstance> {
  const app = Fastify()
  await app.register(sessionPlugin, { store, ...options })
  app.post('/increment', async ({ session }) => {
    const n = Number(session.get('n', 0)) + 1
    session.set('n', n)
    return { n }
  })
  app.get('/data', async ({ session }) => session.data())
  app.post('/logout', async ({ session }) => {
    await session.destroy()
    return {}
  })
  t.teardown(async () => { await app.close() })
  return app
}

interface Warnings { lines: string[], context: StoreContext }

function quietContext (): Warnings {
  const lines: string[] = []
  const add = (details: object, message: string) => { lines.push(JSON.stringify(details) + message) }
  return { lines, context: { now: Date.now, maxRecordSize: 1024 * 1024, log: { debug () {}, warn: add, error: add } } }
}

async function opened (t: Test, store: Store, { context } = quietContext()): Promise<Store> {
  await store.open?.(context)
  t.teardown(async () => { await store.close?.() })
  return store
}

const record = (values: Partial<SessionRecord> = {}): SessionRecord => {
  const now = Date.now()
  return { data: '{"n":1}', createdAt: now, lastAccessedAt: now, expiresAt: now + HOUR, user: null, ...values }
}

const ticketFor = (key: string): Ticket => ({ key, deadline: Infinity, maxHold: 60_000, method: 'GET', route: '/', wake () {} })

async function lock (store: Store, key: string): Promise<Lease> {
  const answer = await store.acquire(ticketFor(key))
  if (answer?.outcome !== 'granted') throw new Error(`not granted: ${answer?.outcome}`)
  return answer
}

/** What the express store itself has. */
async function stored (store: ExpressSessionStore, key: string): Promise<any> {
  return await new Promise((resolve, reject) => {
    store.get(key, (error, value) => error != null && (error as { code?: string }).code !== 'ENOENT' ? reject(error) : resolve(value ?? null))
  })
}

async function put (store: ExpressSessionStore, key: string, value: object): Promise<void> {
  await new Promise<void>((resolve, reject) => { store.set(key, value, (error) => error != null ? reject(error) : resolve()) })
}

/** What express-session writes for this cookie. */
const writtenByExpress = (data: object, maxAge: number | null = HOUR) => ({
  cookie: { originalMaxAge: maxAge, expires: maxAge === null ? null : new Date(Date.now() + maxAge).toISOString(), secure: true, httpOnly: true, domain: 'example.com', path: '/app', sameSite: 'strict' },
  ...data
})

/** A MemoryStore that counts its writes and can be made to misbehave. */
class WatchedMemory extends session.MemoryStore {
  writes = 0
  misbehave: ((call: 'get' | 'set', callback: (error?: any, value?: any) => void) => unknown) | null = null
  /** Only writes misbehave. */
  readsWell = false

  override get (sid: string, callback: (error: any, value?: any) => void) {
    if (this.misbehave !== null && !this.readsWell) return this.misbehave('get', callback) as any
    super.get(sid, callback)
  }

  override set (sid: string, value: any, callback?: (error?: any) => void) {
    this.writes++
    if (this.misbehave !== null) return this.misbehave('set', callback!) as any
    super.set(sid, value, callback)
  }
}

for (const [name, { skip, start }] of Object.entries(PUBLISHED)) {
  t.test(name, { skip }, async (t) => {
    const newStore = await start(t)

    t.test('L1 50 concurrent requests that add 1 make 50', async (t) => {
      const app = await appOn(t, new ExpressStore({ store: await newStore() }), { maxWaiters: 100 })
      const visitor = new Visitor(app)
      await visitor.send('POST', '/increment')
      const answers = await Promise.all(Array.from({ length: 50 }, () => visitor.send('POST', '/increment')))
      t.same(answers.map(answer => answer.json().n).sort((a, b) => a - b), Array.from({ length: 50 }, (_, i) => i + 2))
      t.same((await visitor.send('GET', '/data')).json(), { n: 51 })
    })

    t.test('S2 a logout during a slow request is not undone by it', async (t) => {
      const store = await newStore()
      const app = await appOn(t, new ExpressStore({ store }))
      let go = () => {}
      let hasBegun = () => {}
      const gate = new Promise<void>(resolve => { go = resolve })
      const begun = new Promise<void>(resolve => { hasBegun = resolve })
      app.post('/slow', { config: { session: { maxHold: 50 } } }, async ({ session }) => {
        hasBegun()
        await gate
        session.set('n', 99)
        return {}
      })
      // The timer that looks for overtaken holders keeps no process alive; a server that listens does.
      await app.listen({ port: 0, host: '127.0.0.1' })
      const visitor = new Visitor(app)
      await visitor.send('POST', '/increment')
      const cookie = visitor.cookies.sessionId!
      const slow = app.inject({ method: 'POST', url: '/slow', cookies: { sessionId: cookie } }).then(answer => answer)
      await begun
      t.equal((await app.inject({ method: 'POST', url: '/logout', cookies: { sessionId: cookie } })).statusCode, 200)
      go()
      t.equal((await slow).json().code, 'FST_SESSION_LOCK_LOST')
      t.equal(await stored(store, keyOf('sessionId', cookie)), null)
      t.same((await app.inject({ url: '/data', cookies: { sessionId: cookie } })).json(), {})
    })

    t.test('S2 a session that was deleted behind the back of its holder is not written again', async (t) => {
      const inner = await newStore()
      const store = await opened(t, new ExpressStore({ store: inner }))
      for (const way of ['save', 'touch'] as const) {
        await store.create(KEY, record())
        const lease = await lock(store, KEY)
        await new Promise<void>(resolve => { inner.destroy(KEY, () => resolve()) })
        await t.rejects(async () => { await lease[way](record({ data: '{"n":2}' })) }, { code: 'FST_SESSION_LOCK_LOST' })
        await lease.release()
        t.equal(await stored(inner, KEY), null)
        t.equal(await store.acquire(ticketFor(KEY)), null)
      }
    })

    t.test('a session written by express-session is read, and written back with its cookie intact', async (t) => {
      const inner = await newStore()
      const store = await opened(t, new ExpressStore({ store: inner }))
      const written = writtenByExpress({ passport: { user: 7 }, views: 3 })
      await put(inner, KEY, written)
      const lease = await lock(store, KEY)
      t.same(JSON.parse(String(lease.record.data)), { passport: { user: 7 }, views: 3 })
      t.equal(lease.record.expiresAt, Date.parse(written.cookie.expires!))
      t.equal(lease.record.user, null)
      const later = Date.now() + 2 * HOUR
      await lease.save({ ...lease.record, data: '{"passport":{"user":7},"views":4}', user: 'ann', expiresAt: later })
      await lease.touch({ lastAccessedAt: Date.now(), expiresAt: later + 1 }, { release: true })
      const { cookie, passport, views } = await stored(inner, KEY)
      const { expires, originalMaxAge, ...kept } = cookie
      t.same(kept, { secure: true, httpOnly: true, domain: 'example.com', path: '/app', sameSite: 'strict' })
      t.equal(new Date(expires).getTime(), later + 1)
      t.ok(originalMaxAge > HOUR && originalMaxAge <= 2 * HOUR + 1)
      t.same({ passport, views }, { passport: { user: 7 }, views: 4 })
      t.equal((await store.read(KEY))?.user, 'ann')
    })

    t.test('what an application with express-session adds and changes is read', async (t) => {
      const inner = await newStore()
      const store = await opened(t, new ExpressStore({ store: inner }))
      const created = record({ createdAt: Date.now() - HOUR, user: 'ann' })
      await store.create(KEY, created)
      const { cookie, ...rest } = await stored(inner, KEY)
      const expires = new Date(Date.now() + 3 * HOUR)
      await put(inner, KEY, { cookie: { ...cookie, expires: expires.toISOString() }, ...rest, n: 2, added: true })
      const read = await store.read(KEY)
      t.same(JSON.parse(String(read?.data)), { n: 2, added: true })
      t.match(read, { expiresAt: expires.getTime(), createdAt: created.createdAt, user: 'ann' })
      await (await lock(store, KEY)).release()
    })

    t.test('I4 the store lets a session go when its expiry has come, by its own means', async (t) => {
      const inner = await newStore()
      const store = await opened(t, new ExpressStore({ store: inner }))
      await store.create(KEY, record({ expiresAt: Date.now() + HOUR }))
      await (await lock(store, KEY)).touch({ lastAccessedAt: Date.now(), expiresAt: Date.now() + 500 }, { release: true })
      t.ok(await stored(inner, KEY) !== null)
      // Stores round to seconds. By their own defaults they would keep it for an hour or a day.
      for (const end = Date.now() + 10_000; await stored(inner, KEY) !== null && Date.now() < end;) await sleep(50)
      t.equal(await stored(inner, KEY), null)
    })

    t.test('C2 a record that makes no sense counts as missing, with one line in the log', async (t) => {
      const inner = await newStore()
      const log = quietContext()
      const store = await opened(t, new ExpressStore({ store: inner }), log)
      const damaged = [{ n: 1 }, { cookie: 5 }, { cookie: { ...writtenByExpress({}).cookie, expires: 'never' } }]
      for (const value of damaged) {
        await put(inner, KEY, value).catch(() => {})
        if (await stored(inner, KEY).catch(() => null) === null) continue // A store that refuses it, too.
        log.lines.length = 0
        t.equal(await store.read(KEY), null)
        t.equal(log.lines.length, 1)
        t.equal(await store.acquire(ticketFor(KEY)), null)
        t.equal(log.lines.length, 2)
        t.notOk(log.lines.join().includes(KEY))
      }
    })

    t.test('I8 keys that mean something to JavaScript are plain data, and so is "cookie"', async (t) => {
      const inner = await newStore()
      const store = await opened(t, new ExpressStore({ store: inner }))
      const texts = [
        '{"__proto__":{"isAdmin":true},"constructor":{"prototype":1},"toString":null}',
        '{"cookie":{"expires":"1970-01-01"},"n":1}',
        '{"__lockedSession":{"user":"root"},"n":1}',
        '{"__lastAccess":1}'
      ]
      for (const [index, data] of texts.entries()) {
        const key = KEY.slice(1) + index
        await store.create(key, record({ data }))
        const read = await store.read(key)
        t.equal(read?.data, data)
        t.equal(read?.user, null)
        t.equal((await stored(inner, key)).isAdmin, undefined)
      }
      t.equal(({} as any).isAdmin, undefined)
    })
  })
}

t.test('data are at the top level, where express-session looks for them', async (t) => {
  const inner = new session.MemoryStore()
  const store = await opened(t, new ExpressStore({ store: inner }))
  await store.create(KEY, record({ data: '{"views":3,"cart":["tea"]}' }))
  const { cookie, __lockedSession: meta, ...data } = await stored(inner, KEY)
  t.same(data, { views: 3, cart: ['tea'] })
  t.same(Object.keys(cookie).sort(), ['expires', 'httpOnly', 'originalMaxAge', 'path'])
  t.same(Object.keys(meta).sort(), ['createdAt', 'lastAccessedAt', 'user'])
})

t.test('an application with express-session and one with this package use one session in turns', async (t) => {
  const inner = new session.MemoryStore()
  const store = await opened(t, new ExpressStore({ store: inner }))
  const middleware = session({ store: inner, secret: 'a secret for the test', resave: false, saveUninitialized: false, cookie: { maxAge: HOUR, sameSite: 'lax' } })
  const server = createServer((request: any, response: any) => {
    middleware(request, response, () => {
      request.session.n = (request.session.n ?? 0) + 1
      response.end(JSON.stringify({ id: request.sessionID, n: request.session.n }))
    })
  })
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { server.close() })
  const url = `http://127.0.0.1:${(server.address() as { port: number }).port}`
  const first = await fetch(url)
  const cookie = first.headers.getSetCookie()[0]!.split(';')[0]!
  const { id } = await first.json() as { id: string }

  const lease = await lock(store, id)
  t.same(JSON.parse(String(lease.record.data)), { n: 1 })
  t.ok(lease.record.lastAccessedAt <= Date.now())
  await lease.save({ ...lease.record, data: '{"n":10}', user: 'ann' }, { release: true })

  t.same(await (await fetch(url, { headers: { cookie } })).json(), { id, n: 11 })
  const read = await store.read(id)
  t.same(JSON.parse(String(read?.data)), { n: 11 })
  t.equal(read?.user, 'ann')
  t.equal((await stored(inner, id)).cookie.sameSite, 'lax')
})

t.test('a session without an expiry of its own lives for a day, and the first touch gives it one', async (t) => {
  const inner = new session.MemoryStore()
  const store = await opened(t, new ExpressStore({ store: inner }))
  await put(inner, KEY, writtenByExpress({ n: 1 }, null))
  const lease = await lock(store, KEY)
  t.ok(lease.record.expiresAt > Date.now() + 23 * HOUR)
  const expiresAt = Date.now() + HOUR
  await lease.touch({ lastAccessedAt: Date.now(), expiresAt }, { release: true })
  t.equal((await store.read(KEY))?.expiresAt, expiresAt)
})

const MISBEHAVIOUR: Record<string, (call: 'get' | 'set', callback: (error?: any, value?: any) => void) => unknown> = {
  'never calls back': () => {},
  'throws at once': () => { throw new Error('thrown') },
  'calls back with an error': (_call, callback) => { callback(new Error('passed')) },
  'returns a promise that rejects': async () => { throw new Error('rejected') }
}

for (const [what, misbehave] of Object.entries(MISBEHAVIOUR)) {
  t.test(`S6 a store that ${what}: 503, on load and on save, and the lock is free afterwards`, async (t) => {
    const inner = new WatchedMemory()
    const app = await appOn(t, new ExpressStore({ store: inner, timeout: 50 }))
    app.post('/break', async ({ session }) => {
      session.set('n', 50)
      inner.misbehave = misbehave
      inner.readsWell = true
      return {}
    })
    const visitor = new Visitor(app)
    await visitor.send('POST', '/increment')
    inner.misbehave = misbehave
    const onLoad = await visitor.send('POST', '/increment')
    t.equal(onLoad.statusCode, 503)
    t.equal(onLoad.json().code, 'FST_SESSION_STORE_UNAVAILABLE')
    inner.misbehave = null
    t.equal((await visitor.send('POST', '/break')).statusCode, 503)
    inner.misbehave = null
    t.same((await visitor.send('POST', '/increment')).json(), { n: 2 })
  })
}

t.test('a callback that is called twice counts once', async (t) => {
  const inner = new WatchedMemory()
  const app = await appOn(t, new ExpressStore({ store: inner }))
  const visitor = new Visitor(app)
  await visitor.send('POST', '/increment')
  const { sessionId } = visitor.cookies
  const value = await stored(inner, keyOf('sessionId', sessionId!))
  inner.misbehave = (call, callback) => {
    callback(null, call === 'get' ? value : undefined)
    callback(new Error('again'))
  }
  t.same((await visitor.send('POST', '/increment')).json(), { n: 2 })
})

t.test('C2 a store that cannot parse a record says so with a SyntaxError', async (t) => {
  const inner = new WatchedMemory()
  const log = quietContext()
  const store = await opened(t, new ExpressStore({ store: inner }), log)
  inner.misbehave = (_call, callback) => { callback(new SyntaxError('Unexpected token')) }
  t.equal(await store.read(KEY), null)
  t.equal(log.lines.length, 1)
})

t.test('S1 a lock that was lost without a word: FST_SESSION_LOCK_LOST, and the express store is untouched', async (t) => {
  const inner = new WatchedMemory()
  let lost = false
  /** As a lock on a network whose lease has ended. */
  class LosingStore extends MemoryStore {
    override acquire (ticket: Ticket) {
      const answer = super.acquire(ticket)
      if (answer?.outcome === 'granted') {
        for (const method of ['save', 'touch', 'destroy'] as const) {
          const inner = answer[method].bind(answer) as (...args: any[]) => void
          answer[method] = (...args: any[]) => {
            if (lost) throw new LockLostError()
            return inner(...args)
          }
        }
      }
      return answer
    }
  }
  const app = await appOn(t, new ExpressStore({ store: inner, lock: new LosingStore() }))
  const visitor = new Visitor(app)
  await visitor.send('POST', '/increment')
  const before = JSON.stringify(inner)
  lost = true
  for (const url of ['/increment', '/logout']) {
    const answer = await visitor.send('POST', url)
    t.equal(answer.statusCode, 409)
    t.equal(answer.json().code, 'FST_SESSION_LOCK_LOST')
  }
  t.equal(JSON.stringify(inner), before)
})

t.test('S1 with the locks of a FileStore: after a lapse the express store is untouched by a late save', async (t) => {
  const inner = new WatchedMemory()
  const directory = t.testdir()
  const [one, two] = [
    await opened(t, new ExpressStore({ store: inner, lock: new FileStore({ directory }) })),
    await opened(t, new ExpressStore({ store: inner, lock: new FileStore({ directory }) }))
  ]
  t.equal(one.scope, 'host')
  await one.create(KEY, record())
  const late = await lock(one, KEY)
  late.lapse()
  await (await lock(two, KEY)).save(record({ data: '{"n":2}' }), { release: true })
  const { writes } = inner
  await t.rejects(async () => { await late.save(record({ data: '{"n":9}' })) }, { code: 'FST_SESSION_LOCK_LOST' })
  t.equal(inner.writes, writes)
  t.equal((await two.read(KEY))?.data, '{"n":2}')
})

t.test('S1 a holder that is overtaken while it writes is waited for', async (t) => {
  const inner = new WatchedMemory()
  const store = await opened(t, new ExpressStore({ store: inner }))
  await store.create(KEY, record())
  const lease = await lock(store, KEY)
  let finish = () => {}
  let writing = () => {}
  const begun = new Promise<void>(resolve => { writing = resolve })
  const { set } = inner
  inner.set = (sid, value, callback) => {
    finish = () => { set.call(inner, sid, value, callback) }
    writing()
  }
  const saved = lease.save(record({ data: '{"n":2}' }))
  await begun
  lease.lapse()
  t.equal((await store.acquire(ticketFor(KEY)))?.outcome, 'busy')
  finish()
  await saved
  t.equal((await lock(store, KEY)).record.data, '{"n":2}')
})

t.test('a session that has no stub gets one: processes keep each other out', async (t) => {
  const inner = new session.MemoryStore()
  const directory = t.testdir()
  const one = await opened(t, new ExpressStore({ store: inner, lock: new FileStore({ directory }) }))
  const two = await opened(t, new ExpressStore({ store: inner, lock: new FileStore({ directory }) }))
  await put(inner, KEY, writtenByExpress({ n: 1 }))
  const answers = await Promise.all([one, two].map(store => store.acquire(ticketFor(KEY))))
  t.same(answers.map(answer => answer?.outcome).sort(), ['busy', 'granted'])
})

t.test('a stub whose session is gone is removed', async (t) => {
  const inner = new session.MemoryStore()
  const locks = new MemoryStore()
  const store = await opened(t, new ExpressStore({ store: inner, lock: locks }))
  await store.create(KEY, record())
  t.equal(locks.count(), 1)
  inner.clear()
  t.equal(await store.acquire(ticketFor(KEY)), null)
  t.equal(locks.count(), 0)
})

t.test('a failed create() leaves no stub', async (t) => {
  const inner = new WatchedMemory()
  const locks = new MemoryStore()
  const store = await opened(t, new ExpressStore({ store: inner, lock: locks }))
  inner.misbehave = (call, callback) => { callback(call === 'set' ? new Error('full') : null) }
  await t.rejects(async () => { await store.create(KEY, record()) }, { message: 'full' })
  await sleep(5)
  t.equal(locks.count(), 0)
})

t.test('I3 keys may be anything, as the ids of an application that does not hash them: locks and moves work', async (t) => {
  const inner = new session.MemoryStore()
  const store = await opened(t, new ExpressStore({ store: inner, lock: new FileStore({ directory: t.testdir() }) }))
  const [from, to] = ['../../id/with ž and spaces', 'AB'.repeat(40)] as const
  await store.create(from, record())
  await store.create(to, record({ data: '{"n":2}' }))
  const lease = await lock(store, from)
  const ticket = ticketFor(from)
  t.equal((await store.acquire(ticket))?.outcome, 'busy')
  await lease.destroy({ movedTo: to })
  t.match(await store.acquire(ticket), { outcome: 'moved', movedTo: to })
  t.equal(await store.acquire(ticketFor(from)), null)
  await (await lock(store, to)).release()
})

t.test('a store that cannot list its sessions says so, and prunes nothing', async (t) => {
  const { get, set, destroy } = new session.MemoryStore()
  const inner = { sessions: {}, get, set, destroy }
  const app = await appOn(t, new ExpressStore({ store: inner }))
  await new Visitor(app).send('POST', '/increment')
  await t.rejects(app.sessions.destroyByUser('ann'))
  await t.rejects(async () => { for await (const entry of app.sessions.entries()) t.fail(String(entry)) })
  t.same(await app.sessions.prune(), { deleted: 0, remaining: 0 })
  t.equal(Object.keys(inner.sessions).length, 1)
})

t.test('the locks\' store is opened and closed, the express store is left alone', async (t) => {
  const calls: string[] = []
  class Locks extends MemoryStore {
    override open (context: StoreContext) {
      calls.push('open')
      super.open(context)
    }

    close () { calls.push('close') }
  }
  const inner = Object.assign(new session.MemoryStore(), { close () { calls.push('never') } })
  const app = Fastify()
  await app.register(sessionPlugin, { store: new ExpressStore({ store: inner, lock: new Locks() }) })
  await app.ready()
  await app.close()
  t.same(calls, ['open', 'close'])
})

t.test('options are checked', async (t) => {
  const store = new session.MemoryStore()
  const wrong: Array<[any, string]> = [
    [undefined, 'options'], [{}, 'store'], [{ store: {} }, 'store'], [{ store, lock: {} }, 'lock'], [{ store, timeout: 0 }, 'timeout'], [{ store, ttl: 1 }, 'ttl'],
    [{ store, lock: Object.assign(new MemoryStore(), { scope: 'none' }) }, 'lock']
  ]
  for (const [options, name] of wrong) {
    t.throws(() => new ExpressStore(options), { code: 'FST_SESSION_INVALID_OPTION', message: new RegExp(`"${name}"`) })
  }
  t.equal(new ExpressStore({ store }).scope, 'process')
})
