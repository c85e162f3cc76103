// S1: a holder that took too long may save only what nobody has changed since.
import assert from 'node:assert/strict'
import type { ConformanceCase, ConformanceOptions } from '../options.js'
import { until } from '../patience.js'
import { IMPLICIT, MODES } from './routes.js'
import { httpCases, queued } from './scene.js'

const QUICKLY_OVERTAKEN = { maxHold: 50 }

export function overtakenCases (options: ConformanceOptions): ConformanceCase[] {
  const httpCase = httpCases(options)
  return [
    ...(['implicit', 'explicit'] as const).flatMap(mode => [
      httpCase(`S1 ${mode}: a holder that was overtaken cannot save over what was saved since; it gets FST_SESSION_LOCK_LOST`, async (scene) => {
        const app = await scene.app(QUICKLY_OVERTAKEN)
        const gate = scene.gate()
        app.get('/slow', MODES[mode], async (request, reply) => {
          const change = async () => {
            const n = request.session.get('n')
            await gate.opened
            request.session.set('n', n + 100)
          }
          await (mode === 'implicit' ? change() : request.withSessionLock(change))
          return reply.redirect('/done')
        })
        const visitor = await scene.known(app)
        const slow = visitor.get('/slow')
        await queued(app, 0)
        assert.deepEqual((await visitor.post('/increment')).body, { n: 1 })
        gate.open()
        const { status, body, headers } = await slow
        assert.deepEqual([status, body.code], [409, 'FST_SESSION_LOCK_LOST'])
        assert.equal(headers.location, undefined)
        assert.deepEqual(await scene.dataOf(visitor.cookie), { n: 1 })
        assert.deepEqual((await visitor.post('/increment')).body, { n: 2 })
      }),

      httpCase(`S1 ${mode}: a holder that was overtaken saves after all when nobody came`, async (scene) => {
        const app = await scene.app(QUICKLY_OVERTAKEN)
        const gate = scene.gate()
        app.get('/slow', MODES[mode], async (request) => {
          const change = async () => {
            await gate.opened
            request.session.set('n', 100)
          }
          await (mode === 'implicit' ? change() : request.withSessionLock(change))
          return 'saved'
        })
        const visitor = await scene.known(app)
        const slow = visitor.get('/slow')
        await until('the overtaking', () => app.sessions.stats().locks.overtaken === 1)
        gate.open()
        assert.equal((await slow).text, 'saved')
        assert.deepEqual(await scene.dataOf(visitor.cookie), { n: 100 })
        assert.deepEqual((await visitor.post('/increment')).body, { n: 101 })
      })
    ]),

    httpCase('S1 a holder that was overtaken cannot save while somebody else holds the lock', async (scene) => {
      const app = await scene.app()
      const slow = scene.gate()
      const next = scene.gate()
      app.get('/slow', { config: { session: QUICKLY_OVERTAKEN } }, async ({ session }) => {
        await slow.opened
        session.set('n', 100)
        return 'never'
      })
      app.get('/next', async ({ session }) => {
        await next.opened
        session.set('next', session.get('n'))
        return 'next'
      })
      const visitor = await scene.known(app)
      const answers = [visitor.get('/slow')]
      await queued(app, 0)
      answers.push(visitor.get('/next'))
      await until('the overtaking', () => app.sessions.stats().locks.overtaken === 1)
      await queued(app, 0)
      slow.open()
      assert.equal((await answers[0]!).body.code, 'FST_SESSION_LOCK_LOST')
      assert.deepEqual(await scene.dataOf(visitor.cookie), { n: 0 })
      next.open()
      assert.equal((await answers[1]!).status, 200)
      assert.deepEqual(await scene.dataOf(visitor.cookie), { n: 0, next: 0 })
    }),

    httpCase('S1 S2 a holder that was overtaken cannot save what was destroyed since', async (scene) => {
      const app = await scene.app(QUICKLY_OVERTAKEN)
      const gate = scene.gate()
      app.get('/slow', IMPLICIT, async ({ session }) => {
        await gate.opened
        session.set('n', 100)
        return 'never'
      })
      const visitor = await scene.known(app)
      const cookie = visitor.cookie
      const slow = visitor.at(app).get('/slow')
      await queued(app, 0)
      assert.equal((await visitor.post('/logout')).status, 200)
      gate.open()
      assert.equal((await slow).body.code, 'FST_SESSION_LOCK_LOST')
      assert.equal(await scene.record(cookie), null)
    }),

    httpCase('S1 save() by a holder that was overtaken rejects with FST_SESSION_LOCK_LOST', async (scene) => {
      const app = await scene.app(QUICKLY_OVERTAKEN)
      const gate = scene.gate()
      app.get('/slow', IMPLICIT, async ({ session }) => {
        await gate.opened
        session.set('n', 100)
        const code = await session.save().catch((error: { code: string }) => error.code)
        session.revert()
        return code
      })
      const visitor = await scene.known(app)
      const slow = visitor.get('/slow')
      await queued(app, 0)
      await visitor.post('/increment')
      gate.open()
      assert.equal((await slow).text, 'FST_SESSION_LOCK_LOST')
      assert.deepEqual(await scene.dataOf(visitor.cookie), { n: 1 })
    })
  ]
}
