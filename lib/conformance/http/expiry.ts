// I4: idle and absolute timeouts, enforced by the server; the cookie only follows.
import assert from 'node:assert/strict'
import type { ConformanceCase, ConformanceOptions } from '../options.js'
import { EXPLICIT, IMPLICIT, MODES } from './routes.js'
import { HOUR, httpCases, type HttpScene, MINUTE } from './scene.js'
import type { Answer, Visitor } from './client.js'

export function expiryCases (options: ConformanceOptions): ConformanceCase[] {
  const httpCase = httpCases(options)

  /** The session of the visitor, if it is still alive, by a look that extends nothing. */
  async function isAlive (scene: HttpScene, visitor: Visitor): Promise<boolean> {
    return await scene.record(visitor.cookie) !== null
  }

  return [
    httpCase('I4 a session without visits ends after idleTimeout, whatever cookie is sent', async (scene) => {
      const app = await scene.app({ idleTimeout: HOUR })
      const visitor = await scene.known(app)
      const { cookie } = visitor
      scene.clock.advance(HOUR - 1)
      assert.ok(await isAlive(scene, visitor))
      scene.clock.advance(1)
      for (const url of ['/increment', '/section']) {
        assert.deepEqual((await scene.visitor(app, cookie).post(url)).body, { n: 1 })
      }
      assert.equal((await scene.visitor(app, cookie).get('/data')).body.isNew, true)
      assert.equal(await app.sessions.get(cookie!), null)
    }),

    ...(['implicit', 'explicit', 'readonly'] as const).map(mode => httpCase(`I4 ${mode}: visits extend a session, in the store and in the cookie`, async (scene) => {
      const app = await scene.app({ idleTimeout: HOUR })
      app.get('/', MODES[mode], async ({ session }) => session.get('n'))
      const visitor = await scene.known(app)
      for (let i = 0; i < 5; i++) {
        scene.clock.advance(50 * MINUTE)
        const answer = await visitor.get('/')
        assert.equal(answer.text, '0')
        assert.equal(maxAge(answer), 3600)
        assert.equal((await scene.record(visitor.cookie))?.expiresAt, scene.clock.now() + HOUR)
      }
      scene.clock.advance(HOUR)
      assert.equal(await isAlive(scene, visitor), false)
    })),

    httpCase('I4 a session ends absoluteTimeout after its creation, however often it is used', async (scene) => {
      const app = await scene.app({ idleTimeout: HOUR, absoluteTimeout: 2 * HOUR })
      app.get('/', IMPLICIT, async ({ session }) => session.expiresAt)
      const visitor = await scene.known(app)
      const end = scene.clock.now() + 2 * HOUR
      const ages = []
      for (let i = 0; i < 5; i++) {
        scene.clock.advance(20 * MINUTE)
        await visitor.get('/')
        const answer = await visitor.post('/increment')
        assert.deepEqual(answer.body, { n: i + 1 })
        assert.ok((await scene.record(visitor.cookie))!.expiresAt <= end)
      }
      for (let i = 0; i < 19; i++) {
        scene.clock.advance(MINUTE)
        ages.push(maxAge(await visitor.get('/')))
      }
      assert.deepEqual(ages.slice(-3), [180, 120, 60])
      scene.clock.advance(MINUTE)
      assert.equal(await isAlive(scene, visitor), false)
    }),

    httpCase('I4 with rolling: false visits do not extend a session and saves do', async (scene) => {
      const app = await scene.app({ idleTimeout: HOUR, rolling: false })
      const visitor = await scene.known(app)
      scene.clock.advance(50 * MINUTE)
      assert.deepEqual((await visitor.get('/data')).setCookie, [])
      assert.equal(maxAge(await visitor.post('/increment')), 3600)
      scene.clock.advance(50 * MINUTE)
      await visitor.get('/data')
      assert.ok(await isAlive(scene, visitor))
      scene.clock.advance(10 * MINUTE)
      assert.equal(await isAlive(scene, visitor), false)
    }),

    httpCase('I4 Max-Age is a whole number of seconds and does not end before the session', async (scene) => {
      const app = await scene.app({ idleTimeout: 90_500, absoluteTimeout: 100_250, touchInterval: 0 })
      app.get('/', IMPLICIT, async ({ session }) => session.get('n'))
      const visitor = scene.visitor(app)
      assert.equal(maxAge(await visitor.post('/data', { n: 0 })), 91)
      for (const [ms, age] of [[333, 91], [20_000, 80], [79_900, 1]]) {
        scene.clock.advance(ms!)
        assert.equal(maxAge(await visitor.get('/')), age)
      }
    }),

    httpCase('I4 the cookie is sent again only when the expiry has moved', async (scene) => {
      const app = await scene.app({ idleTimeout: HOUR, touchInterval: 5 * MINUTE })
      const visitor = await scene.known(app)
      assert.deepEqual((await visitor.post('/increment')).setCookie, [])
      scene.clock.advance(4 * MINUTE)
      assert.deepEqual((await visitor.get('/data')).setCookie, [])
      scene.clock.advance(MINUTE)
      assert.equal((await visitor.get('/data')).setCookie.length, 1)
      assert.deepEqual((await visitor.get('/data')).setCookie, [])
    }),

    httpCase('I4 the session tells when it was made, used and ends', async (scene) => {
      const app = await scene.app({ idleTimeout: HOUR, touchInterval: 0 })
      app.get('/', EXPLICIT, async ({ session }) => [session.createdAt, session.lastAccessedAt, session.expiresAt])
      const visitor = await scene.known(app)
      const start = scene.clock.now()
      scene.clock.advance(10 * MINUTE)
      assert.deepEqual((await visitor.get('/')).body, [start, start, start + HOUR])
      scene.clock.advance(10 * MINUTE)
      assert.deepEqual((await visitor.get('/')).body, [start, start + 10 * MINUTE, start + 10 * MINUTE + HOUR])
      assert.deepEqual((await scene.visitor(app).get('/')).body, [scene.clock.now(), scene.clock.now(), scene.clock.now() + HOUR])
    }),

    httpCase('I4 expire() clears the cookie and leaves the session', async (scene) => {
      const app = await scene.app()
      app.get('/', MODES.readonly, async ({ session }) => { session.expire() })
      const visitor = await scene.known(app)
      const old = visitor.cookie
      const answer = await visitor.get('/')
      assert.equal(maxAge(answer), 0)
      assert.equal(visitor.cookie, null)
      assert.ok(await scene.record(old) !== null)
    })
  ]
}

function maxAge ({ setCookie }: Answer): number {
  assert.equal(setCookie.length, 1)
  const [, age] = /;\s*Max-Age=([^;]*)/i.exec(setCookie[0]!) ?? []
  assert.match(String(age), /^\d+$/)
  return Number(age)
}
