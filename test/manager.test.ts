// fastify.sessions: sessions outside of requests.
import Fastify, { type FastifyInstance } from 'fastify'
import { createHash, randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Visitor } from '../lib/conformance/http/client.js'
import { Gate } from '../lib/conformance/patience.js'
import sessionPlugin, { MemoryStore, type Session, type SessionPluginOptions } from '../lib/index.js'
import { AwaitedStore } from './helpers/awaited-store.js'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const SECRET = 'a secret of more than 32 characters'

// The timers of the plugin keep no process alive, and here there is no server that listens.
const alive = setInterval(() => {}, 1000)
t.teardown(() => clearInterval(alive))

interface Scene {
  app: FastifyInstance
  /** A visitor who has a session with these data, and is logged in if there is a user. */
  known (data?: object, user?: string): Promise<Visitor & { cookie: string }>
  advance (ms: number): void
  now (): number
  /** Holds the lock of a visitor's session until it is called. */
  hold (visitor: Visitor): Promise<() => Promise<unknown>>
}

async function start (t: Test, options: SessionPluginOptions = {}): Promise<Scene> {
  let time = Date.now()
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(sessionPlugin, { now: () => time, ...options })
  app.post('/data', async ({ session, body }) => {
    const { data, user } = body as { data: object, user?: string }
    session.update(data)
    if (user !== undefined) session.setUser(user)
  })
  app.get('/data', async ({ session }) => ({ isNew: session.isNew, data: session.data() }))
  const held: Array<{ reached: () => void, opened: Promise<void> }> = []
  app.get('/hold/:id', async ({ session }) => {
    const { reached, opened } = held.shift()!
    reached()
    await opened
    session.set('held', true)
    return 'held'
  })
  return {
    app,
    async known (data = { n: 1 }, user) {
      const visitor = new Visitor(app)
      await visitor.post('/data', { data, user })
      return visitor as Visitor & { cookie: string }
    },
    advance (ms) { time += ms },
    now: () => time,
    async hold (visitor) {
      let open!: () => void
      const opened = new Promise<void>(resolve => { open = resolve })
      let answer: Promise<unknown>
      await new Promise<void>(resolve => {
        held.push({ reached: resolve, opened })
        answer = visitor.get('/hold/5')
      })
      return async () => {
        open()
        return await answer
      }
    }
  }
}

function keyOf (id: string): string {
  return createHash('sha256').update(`sessionId=${id}`).digest('hex')
}

function unknownId (): string {
  return randomBytes(24).toString('base64url')
}

async function waiting (app: FastifyInstance, count: number): Promise<void> {
  while (app.sessions.stats().locks.waiting !== count) await sleep(2)
}

async function all (app: FastifyInstance): Promise<Map<string, Session>> {
  const found = new Map<string, Session>()
  for await (const [key, session] of app.sessions.entries()) found.set(key, session)
  return found
}

t.test('store and scope tell what an application runs on', async (t) => {
  const store = new MemoryStore()
  const { app } = await start(t, { store })
  t.equal(app.sessions.store, store)
  t.equal(app.sessions.scope, 'process')
})

t.test('get() finds a session by its id, read-only and as it stands', async (t) => {
  const { app, known, now, advance } = await start(t)
  const { cookie } = await known({ n: 1, list: [1] }, 'ann')
  advance(MINUTE)
  const session = (await app.sessions.get(cookie))!
  t.same(session.data(), { n: 1, list: [1] })
  t.equal(session.user, 'ann')
  t.equal(session.isNew, false)
  t.equal(session.locked, false)
  t.same([session.createdAt, session.lastAccessedAt, session.expiresAt], [now() - MINUTE, now() - MINUTE, now() - MINUTE + HOUR])

  await t.test('it cannot be written', async (t) => {
    t.throws(() => session.set('n', 2), { code: 'FST_SESSION_READ_ONLY' })
    t.throws(() => session.setUser(null), { code: 'FST_SESSION_READ_ONLY' })
    t.throws(() => session.get('list').push(2), TypeError)
    await t.rejects(session.save(), { code: 'FST_SESSION_READ_ONLY' })
    await t.rejects(session.regenerate(), { code: 'FST_SESSION_READ_ONLY' })
    t.same((await app.sessions.get(cookie))?.data(), { n: 1, list: [1] })
  })

  await t.test('looking at it does not extend it', async (t) => {
    advance(HOUR - MINUTE - 1)
    t.ok(await app.sessions.get(cookie))
    advance(1)
    t.equal(await app.sessions.get(cookie), null)
  })
})

t.test('get() is null for what is no session', async (t) => {
  const { app, known } = await start(t)
  const { cookie } = await known()
  for (const id of [unknownId(), keyOf(cookie), '', 'short', '__proto__', `${cookie} `]) t.equal(await app.sessions.get(id), null, id)
  t.equal(await app.sessions.get(undefined as unknown as string), null)
})

t.test('get() and entries() do not wait for a lock', async (t) => {
  const { app, known, hold } = await start(t)
  const visitor = await known()
  const release = await hold(visitor)
  t.same((await app.sessions.get(visitor.cookie))?.data(), { n: 1 })
  t.equal((await all(app)).size, 1)
  t.equal(await app.sessions.count(), 1)
  await release()
})

t.test('entries() and count() have every live session', async (t) => {
  const { app, known, advance } = await start(t)
  t.equal((await all(app)).size, 0)
  t.equal(await app.sessions.count(), 0)
  const expired = await known()
  advance(HOUR / 2)
  const visitors = [await known({ n: 5 }, 'ann'), await known({ n: 6 })]
  advance(HOUR / 2)
  const found = await all(app)
  t.same([...found.keys()].sort(), visitors.map(({ cookie }) => keyOf(cookie)).sort())
  t.notOk(found.has(keyOf(expired.cookie)))
  const first = found.get(keyOf(visitors[0]!.cookie))!
  t.same([first.data(), first.user], [{ n: 5 }, 'ann'])
  t.equal(await app.sessions.count(), 2)
})

t.test('entries() ends although every session is used while it runs', async (t) => {
  const { app, known, advance } = await start(t, { touchInterval: 0 })
  const ids = new Map<string, string>()
  for (let i = 0; i < 5; i++) {
    const { cookie } = await known()
    ids.set(keyOf(cookie), cookie)
  }
  let seen = 0
  for await (const [key] of app.sessions.entries()) {
    advance(1)
    await app.sessions.with(ids.get(key)!, session => session.set('notice', ++seen))
  }
  t.equal(seen, 5)
})

t.test('destroy() takes an id or a key', async (t) => {
  const { app, known } = await start(t)
  const [one, two, kept] = [await known(), await known(), await known()]
  t.equal(await app.sessions.destroy(one.cookie), true)
  t.equal(await app.sessions.destroy(one.cookie), false)
  t.equal(await app.sessions.destroy(keyOf(two.cookie)), true)
  for (const { cookie } of [one, two]) t.equal(await app.sessions.get(cookie), null)
  for (const id of [unknownId(), '', 'short']) t.equal(await app.sessions.destroy(id), false)
  t.same([...(await all(app)).keys()], [keyOf(kept.cookie)])
  t.same((await one.get('/data')).body, { isNew: true, data: {} })
})

t.test('S2: destroy() waits for the lock, and then nothing is left', async (t) => {
  const { app, known, hold } = await start(t)
  const visitor = await known()
  const release = await hold(visitor)
  const destroyed = app.sessions.destroy(visitor.cookie)
  await waiting(app, 1)
  await release()
  t.equal(await destroyed, true)
  t.equal(await app.sessions.count(), 0)
})

t.test('L8: destroy() and with() give up as requests do, and say what holds the lock', async (t) => {
  const { app, known, hold } = await start(t, { lockTimeout: 30 })
  const visitor = await known()
  const release = await hold(visitor)
  const holder = { method: 'GET', route: '/hold/:id' }
  await t.rejects(app.sessions.destroy(visitor.cookie), { code: 'FST_SESSION_LOCK_TIMEOUT', place: 1, holder })
  await t.rejects(app.sessions.with(visitor.cookie, () => {}), { code: 'FST_SESSION_LOCK_TIMEOUT', holder })
  await release()
  await app.sessions.with(visitor.cookie, async () => {
    const { status, body } = await visitor.at(app).post('/data', { data: { n: 2 } })
    t.same([status, body.code], [503, 'FST_SESSION_LOCK_TIMEOUT'])
    t.ok(body.message.includes('sessions with()'), 'a request learns of a section outside of requests')
  })
})

t.test('L8: who waited for a silent store learns that, not of a holder that there is none of', async (t) => {
  let silent = false
  const gate = new Gate()
  const store = new AwaitedStore(new MemoryStore(), async (call) => { if (silent && call === 'acquire') await gate.opened })
  const { app, known } = await start(t, { store, lockTimeout: 300, maxWaiters: 1 })
  const visitor = await known()
  silent = true
  const asked = app.sessions.with(visitor.cookie, () => {})
  const { body: full } = await visitor.post('/data', { data: {} })
  t.equal(full.code, 'FST_SESSION_LOCK_QUEUE_FULL')
  const late = await asked.then(() => null, (error) => error)
  t.match(late, { code: 'FST_SESSION_LOCK_TIMEOUT', place: 1, holder: null })
  for (const { message } of [full, late]) t.notMatch(message, /held by/)
  silent = false
  gate.open()
  t.equal(await app.sessions.with(visitor.cookie, (session) => session.get('n')), 1)
})

t.test('destroyByUser() deletes all sessions of a user, and may keep one', async (t) => {
  const { app, known } = await start(t)
  const ann = [await known({}, 'ann'), await known({ n: 1 }, 'ann'), await known({ n: 2 }, 'ann')]
  const others = [await known({}, 'bob'), await known({}, 'Ann'), await known({}, ''), await known({ user: 'ann' })]
  t.equal(await app.sessions.destroyByUser('ann', { except: ann[1]!.cookie }), 2)
  t.same((await all(app)).size, 5)
  t.ok(await app.sessions.get(ann[1]!.cookie))
  t.equal(await app.sessions.destroyByUser('ann', { except: null }), 1)
  t.equal(await app.sessions.destroyByUser('ann'), 0)
  for (const { cookie } of others) t.ok(await app.sessions.get(cookie))
  t.equal(await app.sessions.destroyByUser(''), 1)
})

t.test('destroyByUser() finds who logs in while it runs, and spares who has become somebody else', async (t) => {
  const { app, known, hold } = await start(t)
  const [first, changing, guest] = [await known({}, 'ann'), await known({}, 'ann'), await known({ n: 1 })]
  const release = await hold(first)
  const releaseChanging = await hold(changing)
  const deleting = app.sessions.destroyByUser('ann')
  await waiting(app, 1)
  const login = guest.post('/data', { data: {}, user: 'ann' })
  await login
  const change = changing.post('/data', { data: {}, user: 'bob' })
  await waiting(app, 2)
  await releaseChanging()
  await change
  await release()
  t.equal(await deleting, 2)
  t.equal((await app.sessions.get(changing.cookie))?.user, 'bob')
  t.equal(await app.sessions.get(guest.cookie), null)
})

t.test('prune() deletes what has expired', async (t) => {
  const { app, known, advance } = await start(t)
  await known()
  advance(HOUR)
  const live = await known()
  t.same(await app.sessions.prune(), { deleted: 1, remaining: 1 })
  t.same(await app.sessions.prune(), { deleted: 0, remaining: 1 })
  t.ok(await app.sessions.get(live.cookie))
})

t.test('deleteOlderThan() deletes what was not used for so many minutes', async (t) => {
  const { app, known, advance } = await start(t)
  const [old, used] = [await known(), await known()]
  advance(30 * MINUTE)
  await used.get('/data')
  const fresh = await known()
  advance(10 * MINUTE)
  t.same(await app.sessions.deleteOlderThan(40), { deleted: 0, remaining: 3 })
  t.same(await app.sessions.deleteOlderThan(39.9), { deleted: 1, remaining: 2 })
  t.equal(await app.sessions.get(old.cookie), null)
  t.ok(await app.sessions.get(used.cookie))
  t.same(await app.sessions.deleteOlderThan(0), { deleted: 2, remaining: 0 })
  t.equal(await app.sessions.get(fresh.cookie), null)
  for (const minutes of [-1, NaN, '5', undefined]) await t.rejects(app.sessions.deleteOlderThan(minutes as number), TypeError)
})

t.test('with() is a locked section: it loads, saves, and resolves to what the function returned', async (t) => {
  const { app, known } = await start(t)
  const visitor = await known({ n: 1, list: [1] })
  const result = await app.sessions.with(visitor.cookie, async (session) => {
    t.equal(session.locked, true)
    t.equal(session.id, visitor.cookie)
    session.set('n', session.get('n') + 1)
    session.get('list').push(2)
    await sleep(1)
    return 'result'
  })
  t.equal(result, 'result')
  t.same((await visitor.get('/data')).body.data, { n: 2, list: [1, 2] })

  await t.test('L1: it takes turns with requests and with its like', async (t) => {
    const add = async () => await app.sessions.with(visitor.cookie, async (session) => {
      const n = session.get('n')
      await sleep(1)
      session.set('n', n + 1)
    })
    await Promise.all([add(), add(), visitor.get('/data'), add(), add()])
    t.equal((await app.sessions.get(visitor.cookie))?.get('n'), 6)
  })

  await t.test('L4: when the function throws, nothing is saved', async (t) => {
    const failure = new Error('broken')
    await t.rejects(app.sessions.with(visitor.cookie, (session) => {
      session.set('n', 100)
      session.get('list').push(100)
      session.setUser('eve')
      throw failure
    }), failure)
    const session = (await app.sessions.get(visitor.cookie))!
    t.same([session.data(), session.user], [{ n: 6, list: [1, 2] }, null])
  })

  await t.test('L5: the session may be passed on to nested calls, and a second with() inside fails at once', async (t) => {
    await t.rejects(app.sessions.with(visitor.cookie, async () => {
      await app.sessions.with(visitor.cookie, () => {})
    }), { code: 'FST_SESSION_DEADLOCK' })
    const { held, acquired, released } = app.sessions.stats().locks
    t.same([held, released], [0, acquired])
  })

  await t.test('afterwards the session can be read and not be written', async (t) => {
    let late!: Session
    await app.sessions.with(visitor.cookie, (session) => { late = session })
    t.equal(late.get('n'), 6)
    t.throws(() => late.set('n', 7), { code: 'FST_SESSION_NOT_LOCKED' })
  })

  await t.test('it can destroy the session, and cannot give it a new id that nobody would learn', async (t) => {
    const other = await known({ n: 1 })
    await t.rejects(app.sessions.with(other.cookie, async (session) => { await session.regenerate(true) }), { code: 'FST_SESSION_COMMITTED' })
    t.same((await app.sessions.get(other.cookie))?.data(), { n: 1 })
    await app.sessions.with(other.cookie, async (session) => { await session.destroy() })
    t.equal(await app.sessions.get(other.cookie), null)
  })
})

t.test('with() rejects when there is no such session', async (t) => {
  const { app, known, advance } = await start(t)
  const { cookie } = await known()
  let ran = false
  const NOT_FOUND = { code: 'FST_SESSION_NOT_FOUND', statusCode: 404 }
  for (const id of [unknownId(), '', 'short', keyOf(cookie), 'other=1', `other=${cookie}`, `sessionId=${unknownId()}`, 'sessionId=']) {
    await t.rejects(app.sessions.with(id, () => { ran = true }), NOT_FOUND, id)
  }
  advance(HOUR)
  for (const id of [cookie, `sessionId=${cookie}`]) await t.rejects(app.sessions.with(id, () => { ran = true }), NOT_FOUND)
  t.equal(ran, false)
  t.equal(app.sessions.stats().locks.held, 0)
})

t.test('with() takes a Cookie header', async (t) => {
  const { app, known } = await start(t)
  const [{ cookie }, other] = [await known({ n: 7 }), await known()]
  const n = async (header: string) => await app.sessions.with(header, session => session.get('n'))
  for (const header of [`sessionId=${cookie}`, `a=1; sessionId=${cookie}; b=2`, `sessionId="${cookie}"`, `sessionId=${unknownId()}; sessionId=${cookie}`, `sessionId=${cookie}; sessionId=${cookie}`]) {
    t.equal(await n(header), 7, header.replaceAll(cookie, 'id'))
  }
  await t.rejects(n(`sessionId=${cookie}; sessionId=${other.cookie}`), { code: 'FST_SESSION_NOT_FOUND' }, 'I5: several live sessions, so none')
})

t.test('with() checks the signature of a Cookie header, and an id needs none', async (t) => {
  const { app, known } = await start(t, { secret: SECRET })
  const { cookie } = await known({ n: 7 })
  const id = cookie.split('.')[0]!
  const n = async (header: string) => await app.sessions.with(header, session => session.get('n'))
  t.equal(await n(`sessionId=${encodeURIComponent(cookie)}`), 7)
  t.equal(await n(`sessionId=${cookie}`), 7)
  t.equal(await n(id), 7)
  for (const value of [id, `${id}.forged`]) await t.rejects(n(`sessionId=${value}`), { code: 'FST_SESSION_NOT_FOUND' })
})

t.test('with() and the locks are not those of another plugin with another store', async (t) => {
  const [one, two] = [await start(t), await start(t)]
  const visitor = await one.known()
  await t.rejects(two.app.sessions.with(visitor.cookie, () => {}), { code: 'FST_SESSION_NOT_FOUND' })
  await one.app.sessions.with(visitor.cookie, async () => {
    t.equal(two.app.sessions.stats().locks.held, 0)
  })
})

t.test('stats() counts what happened', async (t) => {
  const { app, known, advance, hold } = await start(t, { maxWaiters: 1, lockTimeout: 300 })
  const zero = { creates: 0, saves: 0, touches: 0, regenerations: 0, destroys: 0 }
  const { locks, ...counts } = app.sessions.stats()
  t.same(counts, zero)
  for (const [name, count] of Object.entries(locks)) t.equal(count, 0, name)

  const visitor = await known()
  await visitor.post('/data', { data: { n: 2 } })
  await visitor.get('/data')
  advance(10 * MINUTE)
  await visitor.get('/data')
  const release = await hold(visitor)
  t.equal(app.sessions.stats().locks.held, 1)
  const patient = visitor.post('/data', { data: { n: 3 } })
  await waiting(app, 1)
  t.equal((await visitor.post('/data', { data: {} })).status, 429)
  t.equal((await patient).status, 503)
  const served = visitor.post('/data', { data: { n: 4 } })
  await waiting(app, 1)
  await release()
  t.equal((await served).status, 200)
  await app.sessions.destroy(visitor.cookie)
  const after = app.sessions.stats()
  t.match(after, { creates: 1, saves: 3, touches: 1, regenerations: 0, destroys: 1 })
  const { waitedTotal, waitedMax, ...rest } = after.locks
  t.ok(waitedTotal > 0 && waitedMax > 0 && waitedMax <= waitedTotal)
  t.same(rest, { acquired: 6, released: 6, held: 0, waiting: 0, waits: 1, timeouts: 1, queueFull: 1, cancelled: 0, deadlocks: 0, overtaken: 0 })
})
