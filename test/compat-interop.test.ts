// compat and @fastify/session on the same published store: each goes on with the sessions of the other, in one format.
import peerPlugin from '@fastify/session'
import { test } from 'tap'
import type { SessionStore } from '../lib/compat/index.js'
import { type Handler, plain, start } from './helpers/compat-server.js'
import { PUBLISHED } from './helpers/express-stores.js'

const routes: Record<string, Handler> = {
  '/write': (session) => {
    session.user = { name: 'Ada', roles: ['admin'] }
    session.set('n', 1)
  },
  '/increment': (session) => ({ n: ++session.n, user: session.user }),
  '/remember': (session) => { session.cookie.maxAge = 3_600_000 },
  '/n': (session) => ({ n: session.n, originalMaxAge: session.cookie.originalMaxAge }),
  '/logout': async (session) => { await session.destroy() },
  '/login': async (session) => { await session.regenerate(['n']) }
}

/** Notes what is stored, without the moments of time; session-file-store adds one of its own. */
function watched (store: any): { store: SessionStore, texts: string[] } {
  const texts: string[] = []
  const set = store.set.bind(store)
  store.set = (id: string, session: unknown, done: () => void) => {
    texts.push(JSON.stringify(session).replace(/"\d{4}-\d\d-\d\dT[\d:.]+Z"/g, '"(date)"').replace(/,"__lastAccess":\d+/, ''))
    return set(id, session, done)
  }
  return { store, texts }
}

const cookies = {
  'ends with the browser': { secure: false },
  'has a maxAge': { secure: false, maxAge: 60_000 },
  'has everything': { secure: 'auto', maxAge: 60_000, sameSite: 'strict', path: '/', domain: 'example.com', httpOnly: false, partitioned: true }
} as const

for (const [name, { skip, start: startServer }] of Object.entries(PUBLISHED)) {
  test(`compat and @fastify/session on ${name}`, { skip }, async (t) => {
    const makeStore = await startServer(t)

    for (const [which, cookie] of Object.entries(cookies)) {
      t.test(`both store the same text, and find it again, when the cookie ${which}`, async (t) => {
        const { store, texts } = watched(await makeStore())
        const options = { ...plain, store, cookie }
        const there = await start(t, options, routes, peerPlugin)
        const here = await start(t, options, routes)
        for (const [first, second] of [[there, here], [here, there]] as const) {
          texts.length = 0
          const one = first.visitor()
          await one.get('/write')
          t.equal((await second.visitor(one.cookie).get('/increment')).body.n, 2)
          t.same((await first.visitor(one.cookie).get('/increment')).body, { n: 3, user: { name: 'Ada', roles: ['admin'] } })
          const [written, back, forth] = texts.map(text => text.replace(/"n":\d/, '"n":0'))
          t.equal(texts.length, 3)
          t.equal(forth, back, 'the second and the third text')
          // What is loaded has the expiry as it was; what is new has none.
          t.equal(written!.replace('"originalExpires":"(date)",', ''), back!.replace('"originalExpires":"(date)",', ''), 'the first and the second text')
        }
      })
    }

    t.test('a maxAge of one session, a new id and a logout count on the other side', async (t) => {
      const store = await makeStore()
      const options = { ...plain, store: store as unknown as SessionStore, cookie: { secure: false, maxAge: 60_000 } }
      const there = await start(t, options, routes, peerPlugin)
      const here = await start(t, options, routes)
      for (const [first, second] of [[there, here], [here, there]] as const) {
        const one = first.visitor()
        await one.get('/write')
        await one.get('/remember')
        t.same((await second.visitor(one.cookie).get('/n')).body, { n: 1, originalMaxAge: 3_600_000 })
        const before = one.cookie
        await one.get('/login')
        t.same((await second.visitor(one.cookie).get('/n')).body, { n: 1, originalMaxAge: 3_600_000 })
        t.equal((await second.visitor(before).get('/n')).body.n, undefined)
        await one.at(one.port).get('/n')
        const { cookie } = one
        await one.get('/logout')
        t.equal((await second.visitor(cookie).get('/n')).body.n, undefined)
      }
    })
  })
}
