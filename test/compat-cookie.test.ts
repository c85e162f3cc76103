// The compat plugin: the cookie, and sessions decrypted from one.
import { test } from 'tap'
import { counting, plain, SECRET, SlowStore, start } from './helpers/compat-server.js'

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
