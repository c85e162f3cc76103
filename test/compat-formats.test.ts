// The compat plugin: what others have stored.
import fastifyCookie from '@fastify/cookie'
import peerPlugin from '@fastify/session'
import expressSession from 'express-session'
import http from 'node:http'
import { test } from 'tap'
import { MemoryStore } from '../lib/compat/index.js'
import { counting, plain, SECRET, SlowStore, start } from './helpers/compat-server.js'

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
