// The compat plugin: what @fastify/session has not got.
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'tap'
import { type FastifySessionOptions, MemoryStore } from '../lib/compat/index.js'
import { MemoryStore as LockingMemoryStore } from '../lib/index.js'
import { counting, plain, SlowStore, start } from './helpers/compat-server.js'

test('compat: locking', async (t) => {
  const stores: Record<string, () => FastifySessionOptions['store']> = {
    'the default store': () => new MemoryStore(),
    'a store with callbacks': () => new SlowStore(),
    'a store of this package': () => new LockingMemoryStore()
  }
  for (const [name, makeStore] of Object.entries(stores)) {
    t.test(`L1: 50 concurrent increments add up to 50, with ${name}`, async (t) => {
      const { visitor } = await start(t, { ...plain, store: makeStore()! }, counting)
      const one = visitor()
      await one.get('/increment')
      const answers = await Promise.all(Array.from({ length: 50 }, () => visitor(one.cookie).get('/increment')))
      t.ok(answers.every(answer => answer.status === 200), 'all are answered')
      t.equal((await one.get('/n')).body.n, 51)
    })
  }

  t.test('S2: a logout is not undone by a slow page of the same session', async (t) => {
    const store = new SlowStore()
    const { visitor } = await start(t, { ...plain, store }, counting)
    const one = visitor()
    await one.get('/increment')
    const { cookie } = one
    const slow = visitor(cookie).get('/slow')
    await sleep(20)
    t.equal((await visitor(cookie).get('/logout')).status, 200)
    t.equal((await slow).body.n, 1)
    t.equal((await visitor(cookie).get('/n')).body.n, undefined, 'the old cookie names nothing')
  })

  t.test('S2: a page that was queued behind a logout does not bring the session back', async (t) => {
    const store = new SlowStore()
    const { visitor } = await start(t, { ...plain, store, saveUninitialized: false }, {
      ...counting,
      '/slow-logout': async (session) => {
        await sleep(50)
        await session.destroy()
      }
    })
    const one = visitor()
    await one.get('/increment')
    const { cookie } = one
    const logout = visitor(cookie).get('/slow-logout')
    await sleep(15)
    const queued = visitor(cookie).get('/n')
    await logout
    t.equal((await queued).body.n, undefined)
    t.equal(store.rows.size, 0)
  })

  t.test('S1: a request that was overtaken after maxHold cannot save, and the changes of the other stay', async (t) => {
    const { visitor } = await start(t, { ...plain, store: new SlowStore(), maxHold: 50 }, {
      ...counting,
      '/stuck': async (session) => {
        await sleep(150)
        session.n = 1000
      }
    })
    const one = visitor()
    await one.get('/increment')
    const stuck = visitor(one.cookie).get('/stuck')
    await sleep(20)
    t.equal((await visitor(one.cookie).get('/increment')).body.n, 2)
    const refused = await stuck
    t.equal(refused.status, 409)
    t.equal(refused.body.code, 'FST_SESSION_LOCK_LOST')
    t.equal((await one.get('/n')).body.n, 2)
  })

  t.test('L8: lockTimeout is allowed beside the old options', async (t) => {
    const { visitor } = await start(t, { ...plain, lockTimeout: 20 }, counting)
    const one = visitor()
    await one.get('/increment')
    const slow = visitor(one.cookie).get('/slow')
    await sleep(20)
    const late = await visitor(one.cookie).get('/n')
    t.equal(late.status, 503)
    t.equal(late.body.code, 'FST_SESSION_LOCK_TIMEOUT')
    await slow
  })

  t.test('L2: in explicit mode withSessionLock() writes, and a write beside it is an error, not a loss', async (t) => {
    const { visitor } = await start(t, { ...plain, locking: 'explicit' }, {
      '/increment': async (_session, request) => await request.withSessionLock(async (session: any) => {
        const n = session.n ?? 0
        await sleep(1)
        session.n = n + 1
        return { n: session.n }
      }),
      '/n': (session) => ({ n: session.n }),
      '/unlocked': (session) => { session.n = 1000 }
    })
    const one = visitor()
    await one.get('/increment')
    await Promise.all(Array.from({ length: 20 }, () => visitor(one.cookie).get('/increment')))
    const refused = await one.get('/unlocked')
    t.equal(refused.body.code, 'FST_SESSION_NOT_LOCKED')
    t.equal((await one.get('/n')).body.n, 21)
  })

  t.test('L4: a section that throws takes back its own changes and no others', async (t) => {
    const { visitor } = await start(t, plain, {
      '/': async (session, request) => {
        session.before = 1
        await request.withSessionLock((inside: any) => {
          inside.before = 2
          inside.within = 2
          throw new Error('no')
        }).catch(() => {})
        return { before: session.before, within: session.within ?? null }
      },
      '/look': (session) => ({ before: session.before, within: session.within ?? null })
    })
    const one = visitor()
    t.same((await one.get('/')).body, { before: 1, within: null })
    t.same((await one.get('/look')).body, { before: 1, within: null })
  })
})
