// S6: a store that is out of reach is an error, on load and on save, and never a session that is not there.
import assert from 'node:assert/strict'
import type { ConformanceCase, ConformanceOptions } from '../options.js'
import { code } from '../store/store-scene.js'
import { breakDown, WAYS } from './breakdown.js'
import { EXPLICIT, IMPLICIT, MODES } from './routes.js'
import { assertAllFree, httpCases, queued } from './scene.js'

export function outOfReachCases (options: ConformanceOptions): ConformanceCase[] {
  const httpCase = httpCases(options)
  return [
    ...Object.entries(WAYS).flatMap(([way, fail]) => [
      ...(['implicit', 'explicit', 'readonly'] as const).map(mode => httpCase(`S6 ${mode}: a store that ${way} on load: 503 FST_SESSION_STORE_UNAVAILABLE, and no handler runs`, async (scene) => {
        const app = await scene.app()
        let ran = false
        app.get('/', MODES[mode], async () => { ran = true })
        const visitor = await scene.known(app)
        breakDown(scene, fail, ['acquire', 'read'])
        for (let i = 0; i < 3; i++) {
          const { status, body, setCookie } = await visitor.get('/')
          assert.deepEqual([status, body.code], [503, 'FST_SESSION_STORE_UNAVAILABLE'])
          assert.deepEqual(setCookie, [])
        }
        assert.equal(ran, false)
        scene.store.before = () => {}
        assert.equal((await visitor.get('/')).status, 200)
        assert.equal(ran, true)
        await assertAllFree(scene, app)
      })),

      httpCase(`S6 a store that ${way} in a section: withSessionLock() rejects with FST_SESSION_STORE_UNAVAILABLE, and its function does not run when the load failed`, async (scene) => {
        const app = await scene.app()
        let ran = 0
        app.get('/', EXPLICIT, async (request) => {
          return await request.withSessionLock((session) => {
            ran++
            session.set('n', 5)
          }).then(() => 'saved', (error: { code: string, cause: Error }) => `${error.code} ${error.cause.message.slice(0, 6)}`)
        })
        const visitor = await scene.known(app)
        for (const [call, runs] of [['acquire', 0], ['save', 1]] as const) {
          breakDown(scene, fail, [call])
          assert.equal((await visitor.get('/')).text, 'FST_SESSION_STORE_UNAVAILABLE ENOSPC')
          assert.equal(ran, runs)
          assert.deepEqual(await scene.dataOf(visitor.cookie), { n: 0 })
        }
        scene.store.before = () => {}
        assert.equal((await visitor.get('/')).text, 'saved')
        await assertAllFree(scene, app)
      }),

      httpCase(`S6 a store that ${way}: save(), commit(), destroy() and regenerate() reject, and what is stored stays`, async (scene) => {
        const app = await scene.app()
        app.get('/:method', IMPLICIT, async ({ session, params }) => {
          session.set('n', 5)
          const { method } = params as { method: 'save' | 'commit' | 'destroy' | 'regenerate' }
          await session[method]()
          return 'done'
        })
        const visitor = await scene.known(app)
        for (const [method, calls] of [['save', ['save']], ['commit', ['save']], ['destroy', ['destroy']], ['regenerate', ['destroy']]] as const) {
          breakDown(scene, fail, [...calls])
          const { status, body, setCookie } = await scene.visitor(app, visitor.cookie).get(`/${method}`)
          assert.deepEqual([status, body.code], [503, 'FST_SESSION_STORE_UNAVAILABLE'], method)
          assert.deepEqual(setCookie, [], method)
          assert.deepEqual(await scene.dataOf(visitor.cookie), { n: 0 }, method)
        }
        scene.store.before = () => {}
        assert.deepEqual((await visitor.post('/increment')).body, { n: 1 })
        await assertAllFree(scene, app)
      }),

      httpCase(`S6 a store that ${way}: fastify.sessions rejects with FST_SESSION_STORE_UNAVAILABLE`, async (scene) => {
        const app = await scene.app()
        const { cookie } = await scene.known(app)
        breakDown(scene, fail, ['acquire', 'read', 'count', 'prune'])
        const { sessions } = app
        const unavailable = code('FST_SESSION_STORE_UNAVAILABLE')
        await assert.rejects(sessions.get(cookie!), unavailable)
        await assert.rejects(sessions.destroy(cookie!), unavailable)
        await assert.rejects(sessions.with(cookie!, () => {}), unavailable)
        await assert.rejects(sessions.count(), unavailable)
        await assert.rejects(sessions.prune(), unavailable)
        await assert.rejects(sessions.deleteOlderThan(5), unavailable)
      })
    ]),

    httpCase('S6 those who wait while the store breaks down are all answered', async (scene) => {
      const app = await scene.app()
      const gate = scene.gate()
      app.get('/hold', IMPLICIT, async () => {
        await gate.opened
        return 'held'
      })
      const visitor = await scene.known(app)
      const held = visitor.get('/hold')
      await queued(app, 0)
      const waiting = []
      for (let i = 1; i <= 5; i++) {
        waiting.push(visitor.post('/increment'))
        await queued(app, i)
      }
      breakDown(scene, WAYS.throws, ['acquire'])
      gate.open()
      await held
      for (const { status } of await Promise.all(waiting)) assert.equal(status, 503)
      scene.store.before = () => {}
      assert.deepEqual((await visitor.post('/increment')).body, { n: 1 })
      await assertAllFree(scene, app)
    })
  ]
}
