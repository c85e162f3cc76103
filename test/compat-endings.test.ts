// The compat plugin: ways in which a request ends.
import fastifyCookie from '@fastify/cookie'
import Fastify from 'fastify'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'tap'
import compat, { type SessionStore } from '../lib/compat/index.js'
import { counting, plain, SlowStore, start } from './helpers/compat-server.js'
import { send } from './helpers/http-client.js'

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
