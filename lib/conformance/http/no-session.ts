// S4: a visitor about whom there is nothing to remember costs nothing.
import assert from 'node:assert/strict'
import type { FastifyInstance } from 'fastify'
import type { ConformanceCase, ConformanceOptions } from '../options.js'
import { EXPLICIT, IMPLICIT, MODES } from './routes.js'
import { HOUR, httpCases, type HttpScene, unknownId } from './scene.js'

/** Cookie values that cannot be an id of ours; some have been used to break out of a folder or a query. */
export const IMPOSSIBLE_IDS = [
  '', 'short', '../../../etc/passwd', '..%2f..%2f..%2fetc%2fpasswd%2fxxxxxxxxxxxx', '/absolute/path/of/some/length', 'a/b/c/d/e/f/g/h/i/j/k/l/m/n',
  'back\\slash\\back\\slash\\back', '__proto__', '%00%00%00%00%00%00%00%00%00%00%00%00', 'CON', 'null', 'undefined', '[object Object]',
  `${unknownId()}%0d%0aSet-Cookie: x=1`, `${unknownId()}*`, `${unknownId()} `.repeat(2), '%c3%bc'.repeat(30), '%'.repeat(40), 'x'.repeat(257), 'x'.repeat(4000), '"quoted"'
]

export function noSessionCases (options: ConformanceOptions): ConformanceCase[] {
  const httpCase = httpCases(options)

  async function assertCostsNothing (scene: HttpScene, app: FastifyInstance, url: string, cookie: string | null = null): Promise<void> {
    scene.store.forget()
    const { setCookie } = await scene.visitor(app).send(url, cookie === null ? {} : { headers: { cookie: `sessionId=${cookie}` } })
    assert.deepEqual(setCookie, [])
    assert.deepEqual(scene.store.calls, [])
  }

  return [
    ...(['implicit', 'explicit', 'readonly'] as const).map(mode => httpCase(`S4 ${mode}: a request without a cookie that only reads asks the store nothing and gets no cookie`, async (scene) => {
      const app = await scene.app()
      app.get('/nothing', MODES[mode], async () => 'nothing')
      app.get('/reads', MODES[mode], async ({ session }) => [session.get('n', 5), session.has('n'), session.data(), session.id, session.isNew, session.user, session.size, session.expiresAt > 0])
      for (let i = 0; i < 20; i++) {
        await assertCostsNothing(scene, app, '/nothing')
        await assertCostsNothing(scene, app, '/reads')
      }
      assert.deepEqual((await scene.visitor(app).get('/reads')).body, [5, false, {}, null, true, null, 0, true])
      if (options.listing !== false) assert.equal(await app.sessions.count(), 0)
    })),

    httpCase('S4 what is not there, a route that fails, and a body that is wrong cost nothing', async (scene) => {
      const app = await scene.app()
      app.get('/broken', async () => { throw new Error('broken') })
      app.get('/validated', { schema: { querystring: { type: 'object', required: ['q'] } } }, async () => 'x')
      for (const url of ['/nowhere', '/broken', '/validated', '/%zz']) await assertCostsNothing(scene, app, url)
    }),

    httpCase('S4 a route with session: false costs nothing, even with a cookie, and has no session', async (scene) => {
      const app = await scene.app()
      app.get('/health', { config: { session: false } }, async (request) => {
        const code = await request.withSessionLock(() => {}).then(() => 'entered', (error: Error) => error.name)
        return [typeof request.session, code]
      })
      const visitor = await scene.known(app)
      scene.clock.advance(HOUR / 2)
      await assertCostsNothing(scene, app, '/health', visitor.cookie)
      const { body, headers } = await visitor.get('/health')
      assert.deepEqual(body, ['undefined', 'TypeError'])
      assert.equal(headers.vary, undefined)
    }),

    httpCase('S4 what leaves nothing to remember creates nothing', async (scene) => {
      const app = await scene.app()
      app.get('/set-and-delete', IMPLICIT, async ({ session }) => session.set('n', 1).delete('n'))
      app.get('/set-and-clear', IMPLICIT, async ({ session }) => { session.set('n', 1).clear() })
      app.get('/set-undefined', IMPLICIT, async ({ session }) => { session.set('n', undefined) })
      app.get('/user-and-back', IMPLICIT, async ({ session }) => {
        session.setUser('ann')
        session.setUser(null)
      })
      app.get('/set-and-throw', IMPLICIT, async ({ session }) => {
        session.set('n', 1)
        throw new Error('broken')
      })
      app.get('/save', IMPLICIT, async ({ session }) => { await session.save() })
      app.get('/commit', IMPLICIT, async ({ session }) => { await session.commit() })
      app.get('/touch', IMPLICIT, async ({ session }) => { session.touch() })
      app.get('/destroy', IMPLICIT, async ({ session }) => { await session.destroy() })
      app.get('/regenerate', IMPLICIT, async ({ session }) => { await session.regenerate(true) })
      app.get('/reload', IMPLICIT, async ({ session }) => { await session.reload() })
      app.get('/section', EXPLICIT, async (request) => { await request.withSessionLock((session) => session.get('n')) })
      app.get('/acquire', EXPLICIT, async ({ session }) => {
        await session.acquireLock()
        await session.releaseLock()
      })
      app.get('/explicit-destroy', EXPLICIT, async ({ session }) => { await session.destroy() })
      for (const url of ['/set-and-delete', '/set-and-clear', '/set-undefined', '/user-and-back', '/set-and-throw', '/save', '/commit', '/touch', '/destroy', '/regenerate', '/reload', '/section', '/acquire', '/explicit-destroy']) {
        await assertCostsNothing(scene, app, url)
      }
    }),

    httpCase('S4 I1 a cookie that cannot be an id is not even looked for', async (scene) => {
      const app = await scene.app()
      for (const mode of ['implicit', 'explicit', 'readonly'] as const) app.get(`/${mode}`, MODES[mode], async ({ session }) => session.isNew)
      for (const id of IMPOSSIBLE_IDS) {
        for (const mode of ['implicit', 'explicit', 'readonly']) await assertCostsNothing(scene, app, `/${mode}`, id)
      }
    }),

    ...(['implicit', 'explicit', 'readonly'] as const).map(mode => httpCase(`S4 ${mode}: a cookie of nobody costs one question to the store and no write`, async (scene) => {
      const app = await scene.app()
      app.get('/', MODES[mode], async ({ session }) => session.isNew)
      await app.ready()
      for (let i = 0; i < 10; i++) {
        scene.store.forget()
        const { text, setCookie } = await scene.visitor(app, unknownId()).get('/')
        assert.equal(text, 'true')
        assert.deepEqual(setCookie, [])
        assert.deepEqual(scene.store.calls, [mode === 'implicit' ? 'acquire' : 'read'])
      }
      assert.equal(app.sessions.stats().locks.held, 0)
    })),

    httpCase('S4 something to remember makes one session, one cookie and one write', async (scene) => {
      const app = await scene.app()
      app.get('/user', IMPLICIT, async ({ session }) => { session.setUser('ann') })
      for (const url of ['/increment', '/section', '/user']) {
        const visitor = scene.visitor(app)
        const { setCookie } = await (url === '/user' ? visitor.get(url) : visitor.post(url))
        assert.equal(setCookie.length, 1)
        assert.ok(await scene.record(visitor.cookie) !== null)
        assert.equal(scene.store.times('create'), 1, url)
        assert.equal(scene.store.times('save'), 0)
        scene.store.forget()
      }
    }),

    httpCase('S4 a session that was emptied stays a session', async (scene) => {
      const app = await scene.app()
      app.get('/', IMPLICIT, async ({ session }) => { session.clear() })
      const visitor = await scene.known(app)
      const old = visitor.cookie
      await visitor.get('/')
      assert.deepEqual(await scene.dataOf(old), {})
      assert.equal((await visitor.get('/data')).body.isNew, false)
    })
  ]
}
