// fastify-locked-session/compat: what an application of @fastify/session relies on, and what it did not get there.
import fastifyCookie from '@fastify/cookie'
import csrf from '@fastify/csrf-protection'
import flash from '@fastify/flash'
import { Authenticator, Strategy } from '@fastify/passport'
import peerPlugin from '@fastify/session'
import expressSession from 'express-session'
import Fastify, { type FastifyInstance } from 'fastify'
import http from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Test, test } from 'tap'
import compat, { type FastifySessionOptions, MemoryStore, type SessionStore } from '../lib/compat/index.js'
import { MemoryStore as LockingMemoryStore } from '../lib/index.js'
import { hangUp, send, Visitor } from './helpers/http-client.js'

const SECRET = 'a secret of more than thirty-two characters'
const plain = { secret: SECRET, cookie: { secure: false } } as const

/** As a store over a network: JSON, and an answer that comes later. */
class SlowStore implements SessionStore {
  readonly rows = new Map<string, string>()
  sets = 0
  destroys = 0

  get (id: string, callback: (error: any, session?: any) => void): void {
    setTimeout(() => {
      const row = this.rows.get(id)
      callback(null, row === undefined ? null : JSON.parse(row))
    }, 2)
  }

  set (id: string, session: any, callback: (error?: any) => void): void {
    this.sets++
    const row = JSON.stringify(session)
    setTimeout(() => {
      this.rows.set(id, row)
      callback()
    }, 2)
  }

  destroy (id: string, callback: (error?: any) => void): void {
    this.destroys++
    setTimeout(() => {
      this.rows.delete(id)
      callback()
    }, 2)
  }

  get only (): any {
    const [row] = this.rows.values()
    return JSON.parse(row!)
  }
}

type Handler = (session: any, request: any, reply: any) => unknown

async function start (t: Test, options: FastifySessionOptions, routes: Record<string, Handler>, plugin: any = compat): Promise<{ app: FastifyInstance, visitor: (cookie?: string | null) => Visitor }> {
  const app = Fastify({ forceCloseConnections: true })
  await app.register(fastifyCookie)
  await app.register(plugin, options)
  for (const [path, handler] of Object.entries(routes)) {
    app.get(path, async (request, reply) => await handler(request.session, request, reply) ?? {})
  }
  await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(async () => {
    hangUp()
    await app.close()
  })
  const { port } = app.addresses()[0] as { port: number }
  return { app, visitor: (cookie = null) => new Visitor(port, cookie) }
}

const counting: Record<string, Handler> = {
  '/increment': async (session) => {
    const n = session.n ?? 0
    await sleep(1)
    session.n = n + 1
    return { n: session.n }
  },
  '/n': (session) => ({ n: session.n }),
  '/slow': async (session) => {
    const { n } = session
    await sleep(80)
    return { n }
  },
  '/logout': async (session) => { await session.destroy() }
}

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

test('compat: the cookie', async (t) => {
  t.test('a new first secret in the array signs from then on, and the old cookie is renewed without a logout', async (t) => {
    const secrets = ['the first secret of this application']
    const { visitor } = await start(t, { secret: secrets, cookie: { secure: false }, rolling: false, saveUninitialized: false, store: new SlowStore() }, counting)
    const one = visitor()
    await one.get('/increment')
    const before = one.cookie
    secrets.unshift('the second secret of this application')
    t.equal((await one.get('/n')).body.n, 1)
    t.ok(one.cookie, 'still there')
    t.not(one.cookie, before)
    secrets.pop()
    t.equal((await one.get('/n')).body.n, 1, 'the new signature is enough')
    t.equal((await visitor(before).get('/n')).body.n, undefined, 'the old one is none any more')
  })

  t.test('maxAge of one session changes while the server runs', async (t) => {
    const store = new SlowStore()
    const { visitor } = await start(t, { secret: SECRET, store, cookie: { secure: false, maxAge: 60_000 } }, {
      '/remember': (session) => { session.cookie.maxAge = 3_600_000 },
      '/': (session) => ({ maxAge: session.cookie.originalMaxAge })
    })
    const one = visitor()
    t.equal((await one.get('/')).body.maxAge, 60_000)
    await one.get('/remember')
    t.equal((await one.get('/')).body.maxAge, 3_600_000)
    t.ok(new Date(store.only.cookie.expires).getTime() > Date.now() + 3_500_000)
  })

  t.test('rolling: false stores and sends nothing for a visit that only reads', async (t) => {
    const store = new SlowStore()
    const { visitor } = await start(t, { ...plain, store, rolling: false, saveUninitialized: false }, counting)
    const nobody = await visitor().get('/n')
    t.equal(nobody.headers['set-cookie'], undefined)
    const one = visitor()
    await one.get('/increment')
    t.equal(store.sets, 1)
    const read = await one.get('/n')
    t.equal(store.sets, 1)
    t.equal(read.headers['set-cookie'], undefined)
  })

  t.test('priority reaches the client', async (t) => {
    const { visitor } = await start(t, { secret: SECRET, cookie: { secure: false, priority: 'high' } }, counting)
    t.match((await visitor().get('/increment')).headers['set-cookie']?.[0], /Priority=High/)
  })

  t.test('decryptSession gives a session that can be saved and destroyed, and does not overwrite a later save', async (t) => {
    const store = new SlowStore()
    const { app, visitor } = await start(t, { ...plain, store }, counting)
    const one = visitor()
    await one.get('/increment')
    const decrypt = async () => {
      const request: any = {}
      await new Promise<void>((resolve, reject) => app.decryptSession(decodeURIComponent(one.cookie!), request, (error) => error ? reject(error) : resolve()))
      return request
    }
    const first = await decrypt()
    const second = await decrypt()
    first.session.n = 10
    await first.session.save()
    second.session.n = 20
    await t.rejects(second.session.save(), { code: 'FST_SESSION_CONFLICT' })
    t.equal((await one.get('/n')).body.n, 10)
    const third = await decrypt()
    await third.session.destroy()
    t.equal(third.session, null)
    t.equal((await one.get('/n')).body.n, undefined)
  })
})

test('compat: what others have stored', async (t) => {
  const id = 'Qk_XT2K7-clT-x1tVvoY6tIQ83iP72KN'

  t.test('a session of @fastify/session goes on here, and the other way round', async (t) => {
    const store = new SlowStore()
    const options = { ...plain, store, cookie: { secure: false, maxAge: 60_000 } }
    const there = await start(t, options, counting, peerPlugin)
    const here = await start(t, options, counting)
    const one = there.visitor()
    await one.get('/increment')
    t.equal((await here.visitor(one.cookie).get('/increment')).body.n, 2)
    t.equal((await there.visitor(one.cookie).get('/increment')).body.n, 3)
    t.equal((await here.visitor(one.cookie).get('/n')).body.n, 3)
    t.equal(store.rows.size, 1)
    t.same(Object.keys(store.only).sort(), ['cookie', 'n'])
  })

  t.test('a session of express-session goes on here, and the other way round', async (t) => {
    const store = new expressSession.MemoryStore()
    const middleware = expressSession({ secret: SECRET, store, resave: false, saveUninitialized: false, cookie: { maxAge: 60_000 } })
    const express = http.createServer((request: any, response: any) => {
      middleware(request, response, () => {
        request.session.n = (request.session.n ?? 0) + 1
        response.end(JSON.stringify({ n: request.session.n }))
      })
    })
    await new Promise<void>(resolve => express.listen(0, '127.0.0.1', resolve))
    t.teardown(() => express.close())
    const ask = async (cookie?: string) => {
      const response = await fetch(`http://127.0.0.1:${(express.address() as any).port}`, { headers: cookie === undefined ? {} : { cookie } })
      return { body: await response.json() as any, cookie: response.headers.get('set-cookie')?.split(';')[0] }
    }
    const { app } = await start(t, { ...plain, store: store as any, cookieName: 'connect.sid', cookiePrefix: 's:' }, counting)
    const { cookie } = await ask()
    t.equal((await app.inject({ url: '/increment', headers: { cookie: cookie! } })).json().n, 2)
    t.equal((await ask(cookie)).body.n, 3)
    t.equal((await app.inject({ url: '/n', headers: { cookie: cookie! } })).json().n, 3)
  })

  t.test('C2: a spoilt expiry does not end the process', async (t) => {
    const store = new SlowStore()
    const { visitor, app } = await start(t, { ...plain, store }, { '/id': (session) => ({ signed: session.encryptedSessionId }), ...counting })
    const one = visitor()
    const { signed } = (await one.get('/id')).body
    const [key] = store.rows.keys()
    store.rows.set(key!, JSON.stringify({ n: 7, cookie: { path: '/', expires: 'soon', originalMaxAge: null } }))
    const answer = await app.inject({ url: '/increment', cookies: { sessionId: signed } })
    t.equal(answer.statusCode, 200)
    t.equal(answer.json().n, 8)
  })

  t.test('I1: an expired session is removed and not adopted', async (t) => {
    const map = new Map([[id, { user: 'Ada', cookie: { expires: new Date(Date.now() - 1000) } }]])
    const { app } = await start(t, { ...plain, store: new MemoryStore(map) }, { '/': (session) => ({ user: session.user ?? null }) })
    const signer = new fastifyCookie.Signer(SECRET)
    const answer = await app.inject({ url: '/', cookies: { sessionId: signer.sign(id) } })
    t.same(answer.json(), { user: null })
    t.notOk(map.has(id))
  })
})

test('compat: endings', async (t) => {
  t.test('L6: a request whose client has left, a hijacked reply and a failed handler free the lock, and their changes are kept', async (t) => {
    const store = new SlowStore()
    const { visitor } = await start(t, { ...plain, store }, {
      ...counting,
      '/left': async (session) => {
        await sleep(40)
        session.left = true
      },
      '/hijacked': (session, _request, reply) => {
        session.hijacked = true
        reply.hijack()
        reply.raw.end('{}')
      },
      '/failed': (session) => {
        session.failed = true
        throw new Error('no')
      },
      '/all': ({ left, hijacked, failed }) => ({ left, hijacked, failed })
    })
    const one = visitor()
    await one.get('/increment')
    const abort = new AbortController()
    const left = send(one.port, 'GET', '/left', { cookie: one.cookie, signal: abort.signal }).catch(() => {})
    await sleep(20)
    abort.abort()
    await left
    await visitor(one.cookie).get('/hijacked')
    t.equal((await visitor(one.cookie).get('/failed')).status, 500)
    t.same((await one.get('/all')).body, { left: true, hijacked: true, failed: true })
  })

  t.test('S7: a change after the reply was sent is in the log', async (t) => {
    const lines: string[] = []
    const app = Fastify({ logger: { level: 'warn', stream: { write: (line: string) => { lines.push(line) } } }, forceCloseConnections: true })
    await app.register(fastifyCookie)
    await app.register(compat, plain)
    app.get('/', async (request, reply) => {
      const session = request.session as any
      reply.send('sent')
      await sleep(20)
      session.late = true
    })
    t.teardown(() => app.close())
    await app.inject('/')
    await sleep(60)
    t.equal(lines.length, 1)
    t.match(JSON.parse(lines[0]!), { level: 40, route: '/' })
  })

  t.test('S4: outside the path of the cookie there is no session', async (t) => {
    const store = new SlowStore()
    const { visitor } = await start(t, { ...plain, store, cookie: { secure: false, path: '/app' } }, {
      '/app': (session) => ({ has: typeof session.save }),
      '/other': (session) => ({ has: typeof session.save }),
      '/apple': (session) => ({ has: typeof session.save })
    })
    t.equal((await visitor().get('/other')).body.has, 'undefined')
    t.equal((await visitor().get('/apple')).body.has, 'undefined')
    t.equal(store.rows.size, 0)
    t.equal((await visitor().get('/app')).body.has, 'function')
    t.equal(store.rows.size, 1)
  })
})

test('compat: plugins that use a session', async (t) => {
  t.test('@fastify/flash and @fastify/csrf-protection work', async (t) => {
    const app = Fastify()
    await app.register(fastifyCookie)
    await app.register(compat, plain)
    await app.register(flash)
    await app.register(csrf, { sessionPlugin: '@fastify/session' })
    app.get('/token', async (request, reply) => {
      (request as any).flash('info', 'hello')
      return { token: (reply as any).generateCsrf() }
    })
    app.post('/', { onRequest: (app as any).csrfProtection }, async (_request, reply) => (reply as any).flash('info'))
    t.teardown(() => app.close())
    const first = await app.inject('/token')
    const cookies = { sessionId: first.cookies[0]!.value }
    const refused = await app.inject({ method: 'POST', url: '/', cookies })
    t.equal(refused.statusCode, 403)
    const accepted = await app.inject({ method: 'POST', url: '/', cookies, headers: { 'csrf-token': first.json().token } })
    t.same(accepted.json(), ['hello'])
  })

  t.test('@fastify/passport logs in under a new id, and out', async (t) => {
    const passport = new Authenticator()
    passport.use('test', new class extends Strategy {
      override authenticate (): void { this.success({ name: 'Ada' }) }
    }('test'))
    passport.registerUserSerializer(async (user: any) => user.name)
    passport.registerUserDeserializer(async (name: string) => ({ name }))
    const app = Fastify()
    await app.register(fastifyCookie)
    await app.register(compat, plain)
    await app.register(passport.initialize())
    await app.register(passport.secureSession())
    app.get('/', async (request) => ({ user: (request as any).user ?? null }))
    app.post('/login', { preValidation: passport.authenticate('test', { authInfo: false }) }, async (request) => ({ user: request.user }))
    app.post('/logout', async (request) => { await (request as any).logout(); return {} })
    t.teardown(() => app.close())
    const before = await app.inject('/')
    const cookies: Record<string, string> = { sessionId: before.cookies[0]!.value }
    const login = await app.inject({ method: 'POST', url: '/login', cookies })
    t.same(login.json(), { user: { name: 'Ada' } })
    t.same((await app.inject({ url: '/', cookies })).json(), { user: null }, 'the old id is dead')
    cookies.sessionId = login.cookies[0]!.value
    t.same((await app.inject({ url: '/', cookies })).json(), { user: { name: 'Ada' } })
    await app.inject({ method: 'POST', url: '/logout', cookies })
    t.same((await app.inject({ url: '/', cookies })).json(), { user: null })
  })
})

test('compat: a store out of reach', async (t) => {
  const broken: SessionStore = {
    get: (_id, callback) => callback(new Error('the password is 1234')),
    set: (_id, _session, callback) => callback(new Error('the password is 1234')),
    destroy: (_id, callback) => callback(new Error('the password is 1234'))
  }

  t.test('S8: the client gets 503 and no word of the driver', async (t) => {
    const { visitor } = await start(t, { ...plain, store: broken }, counting)
    const answer = await visitor().get('/increment')
    t.equal(answer.status, 503)
    t.equal(answer.body.code, 'FST_SESSION_STORE_UNAVAILABLE')
    t.notMatch(JSON.stringify(answer.body), '1234')
    t.equal(answer.headers['set-cookie'], undefined)
  })

  t.test('a callback gets the error of the store itself', async (t) => {
    const { visitor } = await start(t, { ...plain, saveUninitialized: false, store: broken }, {
      '/': async (session) => await new Promise(resolve => session.save((error: Error) => resolve({ message: error.message })))
    })
    t.equal((await visitor().get('/')).body.message, 'the password is 1234')
  })
})
