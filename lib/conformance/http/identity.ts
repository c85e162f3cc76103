// I1, I2 and I5: which ids count, what a store sees of them, and several cookies of one name.
import assert from 'node:assert/strict'
import { inspect } from 'node:util'
import type { ConformanceCase, ConformanceOptions } from '../options.js'
import { IMPLICIT, MODES } from './routes.js'
import { HOUR, httpCases, keyOf, unknownId } from './scene.js'

export function identityCases (options: ConformanceOptions): ConformanceCase[] {
  const httpCase = httpCases(options)
  return [
    ...(['implicit', 'explicit'] as const).map(mode => httpCase(`I1 ${mode}: an id that the store does not know is never adopted`, async (scene) => {
      const app = await scene.app()
      const offered = unknownId()
      const visitor = scene.visitor(app, offered)
      const { setCookie } = await visitor.post(mode === 'implicit' ? '/increment' : '/section')
      assert.equal(setCookie.length, 1)
      assert.notEqual(visitor.cookie, offered)
      assert.deepEqual(await scene.dataOf(visitor.cookie), { n: 1 })
      assert.equal(await scene.record(offered), null)
      assert.equal((await scene.visitor(app, offered).get('/data')).body.isNew, true)
    })),

    ...(['has expired', 'was destroyed', 'was regenerated'] as const).map(what => httpCase(`I1 the id of a session that ${what} is not adopted`, async (scene) => {
      const app = await scene.app()
      const visitor = await scene.known(app)
      const old = visitor.cookie
      if (what === 'has expired') scene.clock.advance(HOUR + 1)
      else if (what === 'was destroyed') await visitor.post('/logout')
      else await visitor.post('/regenerate')
      const again = scene.visitor(app, old)
      assert.equal((await again.get('/data')).body.isNew, true)
      assert.deepEqual((await again.post('/increment')).body, { n: 1 })
      assert.notEqual(again.cookie, old)
      assert.equal(await scene.record(old), null)
    })),

    httpCase('I1 a cookie of nobody is left alone while there is nothing to save', async (scene) => {
      const app = await scene.app()
      const offered = unknownId()
      const visitor = scene.visitor(app, offered)
      assert.deepEqual((await visitor.get('/data')).setCookie, [])
      assert.equal(visitor.cookie, offered)
    }),

    httpCase('I1 an id counts only as the cookie: not in the query, the body, the path or another header', async (scene) => {
      const app = await scene.app()
      app.post('/:sessionId', IMPLICIT, async ({ session }) => ({ isNew: session.isNew, n: session.get('n') }))
      const { cookie } = await scene.known(app, { n: 7 })
      const { body } = await scene.visitor(app).send(`/${cookie}?sessionId=${cookie}`, {
        method: 'POST',
        body: { sessionId: cookie },
        headers: { 'x-session-id': cookie!, authorization: `Bearer ${cookie}`, cookie: `other=${cookie}; xsessionId=${cookie}; sessionIdx=${cookie}; SESSIONID=${cookie}` }
      })
      assert.deepEqual(body, { isNew: true })
    }),

    httpCase('I2 ids are 192 random bits in base64url, and never the same', async (scene) => {
      const app = await scene.app()
      const ids = new Set<string>()
      const bits = new Array<number>(192).fill(0)
      for (let i = 0; i < 200; i++) {
        const { cookie } = await scene.known(app)
        assert.match(cookie!, /^[A-Za-z0-9_-]{32}$/)
        ids.add(cookie!)
        const bytes = Buffer.from(cookie!, 'base64url')
        for (let bit = 0; bit < 192; bit++) bits[bit]! += (bytes[bit >> 3]! >> (bit & 7)) & 1
      }
      assert.equal(ids.size, 200)
      // Each bit is set in about half of them; a bit that is always the same is no random bit.
      for (const count of bits) assert.ok(count > 40 && count < 160, `a bit was set ${count} times of 200`)
    }),

    httpCase('I2 a store sees only the SHA-256 of an id, and nothing that it sees works as a cookie', async (scene) => {
      const app = await scene.app()
      const visitor = await scene.known(app)
      const ids = [visitor.cookie!]
      await visitor.post('/section')
      await visitor.get('/data')
      await visitor.post('/regenerate', { keep: true })
      ids.push(visitor.cookie!)
      await app.sessions.with(visitor.cookie!, session => session.setUser('ann'))
      await visitor.post('/increment')
      assert.deepEqual(scene.store.keys, new Set(ids.map(keyOf)))
      const seen = JSON.stringify([...scene.store.keys, ...scene.store.records])
      for (const id of ids) assert.ok(!seen.includes(id))
      for (const key of [...scene.store.keys]) {
        for (const stolen of [key, key.slice(0, 32), Buffer.from(key, 'hex').toString('base64url')]) {
          assert.equal((await scene.visitor(app, stolen).get('/data')).body.isNew, true)
        }
      }
    }),

    httpCase('I2 printing or encoding a session shows no id, and printing it no values', async (scene) => {
      const app = await scene.app()
      app.get('/', IMPLICIT, async (request) => {
        const { session } = request
        return { id: session.id, printed: [inspect(session), inspect(session, { depth: 9, showHidden: true }), String(session), inspect({ session })], encoded: JSON.stringify({ session }) }
      })
      const visitor = await scene.known(app, { secret: 'value-of-the-secret' })
      const { body } = await visitor.get('/')
      assert.equal(body.id, visitor.cookie)
      for (const text of body.printed) {
        assert.ok(!text.includes(visitor.cookie))
        assert.ok(!text.includes('value-of-the-secret'))
      }
      assert.equal(body.encoded, '{"session":{"secret":"value-of-the-secret"}}')
    }),

    httpCase('I2 an id from generateId that is too weak is refused, and nothing is stored', async (scene) => {
      const weak = ['short', '1'.repeat(30), 'a b'.repeat(20), '1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed']
      let next: string | null = null
      const app = await scene.app({ generateId: () => next ?? unknownId() })
      await app.ready()
      for (next of weak) {
        const { status, body, setCookie } = await scene.visitor(app).post('/increment')
        assert.deepEqual([status, body.code], [500, 'FST_SESSION_INVALID_ID'])
        assert.deepEqual(setCookie, [])
      }
      assert.equal(scene.store.times('create'), 0)
    }),

    ...(['implicit', 'explicit', 'readonly'] as const).map(mode => httpCase(`I5 ${mode}: of several cookies the one that names a live session counts, wherever it stands`, async (scene) => {
      const app = await scene.app()
      app.get('/', MODES[mode], async ({ session }) => ({ n: session.get('n'), isNew: session.isNew, right: session.id === live }))
      const { cookie: live } = await scene.known(app, { n: 7 })
      const dead = [unknownId(), unknownId(), 'malformed', '']
      for (let place = 0; place <= dead.length; place++) {
        const values = dead.toSpliced(place, 0, live!)
        const cookie = `a=1; ${values.map(value => `sessionId=${value}`).join('; ')}; b=2`
        const { body, setCookie } = await scene.visitor(app).get('/', { cookie })
        assert.deepEqual(body, { n: 7, isNew: false, right: true })
        assert.deepEqual(setCookie, [])
      }
    })),

    ...(['implicit', 'explicit', 'readonly'] as const).map(mode => httpCase(`I5 ${mode}: of several cookies that name live sessions none counts, and the log says so`, async (scene) => {
      const app = await scene.app()
      app.get('/', MODES[mode], async (request) => {
        const { isNew } = request.session
        if (mode === 'explicit') await request.withSessionLock((session) => { session.set('own', 1) })
        return { isNew }
      })
      const [one, two] = [await scene.known(app, { n: 1 }), await scene.known(app, { n: 2 })]
      for (const cookies of [[one, two], [two, one]]) {
        scene.log.forget()
        const visitor = scene.visitor(app)
        const { body } = await visitor.get('/', { cookie: cookies.map(({ cookie }) => `sessionId=${cookie}`).join('; ') })
        assert.deepEqual(body, { isNew: true })
        assert.equal(scene.log.from('warn').length, 1)
        if (mode === 'explicit') assert.ok(visitor.cookie !== one.cookie && visitor.cookie !== two.cookie)
      }
      assert.deepEqual(await scene.dataOf(one.cookie), { n: 1 })
      assert.deepEqual(await scene.dataOf(two.cookie), { n: 2 })
      assert.equal(app.sessions.stats().locks.held, 0)
    })),

    httpCase('I5 the same cookie twice is one', async (scene) => {
      const app = await scene.app()
      const { cookie } = await scene.known(app, { n: 7 })
      const { body } = await scene.visitor(app).get('/data', { cookie: `sessionId=${cookie}; sessionId=${cookie}; sessionId="${cookie}"` })
      assert.deepEqual(body.data, { n: 7 })
    }),

    httpCase('I5 a hundred cookies cost a few questions to the store', async (scene) => {
      const app = await scene.app()
      await app.ready()
      await scene.visitor(app).get('/data', { cookie: Array.from({ length: 100 }, () => `sessionId=${unknownId()}`).join('; ') })
      assert.ok(scene.store.calls.length <= 10, `${scene.store.calls.length} calls`)
    })
  ]
}
