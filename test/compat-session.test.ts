// The compat plugin: request.session as applications of @fastify/session know it.
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'tap'
import { counting, plain, SlowStore, start } from './helpers/compat-server.js'

test('compat: the session object', async (t) => {
  t.test('data are properties, and get() and set() see the same', async (t) => {
    const { visitor } = await start(t, plain, {
      '/write': (session) => {
        session.user = { name: 'Ada' }
        session.set('theme', 'dark')
        session.gone = 1
      },
      '/nested': (session) => {
        session.user.name = 'Grace'
        delete session.gone
      },
      '/read': (session) => ({ user: session.get('user'), theme: session.theme, keys: Object.keys(session).sort() })
    })
    const one = visitor()
    await one.get('/write')
    await one.get('/nested')
    t.same((await one.get('/read')).body, { user: { name: 'Grace' }, theme: 'dark', keys: ['cookie', 'theme', 'user'] })
  })

  t.test('every method takes a callback or returns a promise', async (t) => {
    const wait = (session: any, method: string, ...args: unknown[]) => new Promise<void>((resolve, reject) => {
      const returned = session[method](...args, (error: unknown) => error ? reject(error) : resolve())
      if (returned !== undefined) reject(new Error(`${method} with a callback returns something`))
    })
    const { visitor } = await start(t, plain, {
      '/callbacks': async (session, request) => {
        session.a = 1
        await wait(session, 'save')
        session.a = 2
        await wait(session, 'reload')
        const reloaded = request.session.a
        const before = session.sessionId
        await wait(request.session, 'regenerate', ['a'])
        const after = request.session.sessionId
        const kept = request.session.a
        await wait(request.session, 'destroy')
        return { reloaded, kept, isNew: before !== after, destroyed: request.session === null }
      },
      '/promises': async (session, request) => {
        session.a = 1
        await session.save()
        session.a = 2
        await session.reload()
        const reloaded = request.session.a
        const before = session.sessionId
        await request.session.regenerate(['a'])
        const after = request.session.sessionId
        const kept = request.session.a
        await request.session.destroy()
        return { reloaded, kept, isNew: before !== after, destroyed: request.session === null }
      }
    })
    const expected = { reloaded: 1, kept: 1, isNew: true, destroyed: true }
    t.same((await visitor().get('/callbacks')).body, expected)
    t.same((await visitor().get('/promises')).body, expected)
  })

  t.test('isModified() and isSaved() tell what is still to be stored', async (t) => {
    const { visitor } = await start(t, plain, {
      '/': async (session) => {
        const states = [[session.isModified(), session.isSaved()]]
        session.a = { b: 1 }
        states.push([session.isModified(), session.isSaved()])
        await session.save()
        states.push([session.isModified(), session.isSaved()])
        session.a.b = 2
        states.push([session.isModified(), session.isSaved()])
        return states
      }
    })
    t.same((await visitor().get('/')).body, [[false, false], [true, false], [false, true], [true, true]])
  })

  t.test('a destroyed session cannot be saved again through an old reference', async (t) => {
    const store = new SlowStore()
    const { visitor } = await start(t, { ...plain, store }, {
      '/in': (session) => { session.user = 'Ada' },
      '/out': async (session) => {
        await session.destroy()
        return await session.save().then(() => 'saved', (error: any) => error.code)
      }
    })
    const one = visitor()
    await one.get('/in')
    t.equal((await one.get('/out')).body, 'FST_SESSION_DESTROYED')
    t.equal(store.rows.size, 0)
  })

  t.test('regenerate() deletes the old session, and the new one has another id', async (t) => {
    const store = new SlowStore()
    const { visitor } = await start(t, { ...plain, store }, {
      '/in': async (session, request) => {
        session.seen = 1
        session.dropped = 1
        await session.regenerate(['seen'])
        request.session.user = 'Ada'
      },
      '/look': (session) => ({ user: session.user, seen: session.seen, dropped: session.dropped })
    })
    const one = visitor()
    await one.get('/look')
    const before = one.cookie
    await one.get('/in')
    t.not(one.cookie, before)
    t.same((await one.get('/look')).body, { user: 'Ada', seen: 1 })
    t.same((await visitor(before).get('/look')).body, {})
  })

  t.test('I3: who waits for a session that is regenerated gets a clear error, and the old id stays dead', async (t) => {
    const { visitor } = await start(t, { ...plain, store: new SlowStore() }, {
      ...counting,
      '/login': async (session) => {
        await sleep(60)
        await session.regenerate(['n'])
      }
    })
    const one = visitor()
    await one.get('/increment')
    const { cookie } = one
    const login = one.get('/login')
    await sleep(20)
    const waiting = await visitor(cookie).get('/n')
    t.equal(waiting.status, 409)
    t.equal(waiting.body.code, 'FST_SESSION_CONFLICT')
    await login
    t.equal((await one.get('/n')).body.n, 1)
    t.equal((await visitor(cookie).get('/n')).body.n, undefined)
  })

  t.test('a field may have any name but those of the methods of @fastify/session', async (t) => {
    const fields = { lifetime: 1, refill: 2, copyTo: 3, markSaved: 4, markClean: 5, cookieOptions: 6, id: 7, data: 8, constructor: 9 }
    const { visitor } = await start(t, plain, {
      '/write': async (session) => {
        Object.assign(session, fields)
        await session.save()
        await session.regenerate(Object.keys(fields))
      },
      '/read': (session) => ({ ...session, cookie: undefined })
    })
    const one = visitor()
    t.equal((await one.get('/write')).status, 200)
    t.same((await one.get('/read')).body, fields)
  })

  t.test('I8: __proto__ is a key like any other', async (t) => {
    const { visitor } = await start(t, plain, {
      '/set': (session) => { session.set('__proto__', { admin: true }) },
      '/assign': (session, request) => {
        session['__proto__'] = { admin: true } // eslint-disable-line no-proto
        return { methods: typeof request.session.save, admin: session.admin ?? null }
      },
      '/look': (session) => ({ methods: typeof session.save, admin: session.admin ?? null, own: Object.hasOwn(session, '__proto__') })
    })
    for (const path of ['/set', '/assign']) {
      const one = visitor()
      t.equal((await one.get(path)).status, 200)
      t.same((await one.get('/look')).body, { methods: 'function', admin: null, own: true }, path)
    }
  })
})
