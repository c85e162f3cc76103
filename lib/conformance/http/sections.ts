// L4: withSessionLock() locks, loads afresh, saves and unlocks, and rolls back when its function throws.
import assert from 'node:assert/strict'
import type { ConformanceCase, ConformanceOptions } from '../options.js'
import { sleep } from '../patience.js'
import { writable } from './modes.js'
import { EXPLICIT, IMPLICIT } from './routes.js'
import { assertAllFree, httpCases } from './scene.js'

export function sectionCases (options: ConformanceOptions): ConformanceCase[] {
  const httpCase = httpCases(options)
  return [
    ...(['implicit', 'explicit'] as const).flatMap(mode => [
      httpCase(`L4 withSessionLock() in ${mode}: resolves to what the function returned, and its changes are stored by then`, async (scene) => {
        const app = await scene.app({ locking: mode })
        app.get('/', async (request) => {
          const result = await request.withSessionLock(async (session) => {
            await sleep(1)
            session.set('n', 5)
            return { same: session === request.session, locked: session.locked }
          })
          return { result, stored: await scene.dataOf(request.session.id), held: app.sessions.stats().locks.held }
        })
        const visitor = await scene.known(app)
        const { body } = await visitor.get('/')
        assert.deepEqual(body, { result: { same: true, locked: true }, stored: { n: 5 }, held: mode === 'implicit' ? 1 : 0 })
        await assertAllFree(scene, app)
      }),

      httpCase(`L4 withSessionLock() in ${mode}: what was changed before a function throws is rolled back, and the error passes on`, async (scene) => {
        const app = await scene.app({ locking: mode })
        app.get('/', async (request) => {
          const failure = new Error('the handler\'s own')
          const caught = await request.withSessionLock(async (session) => {
            session.set('n', 5).set('new', true).delete('kept')
            session.get('list').push(2)
            session.setUser('ann')
            await sleep(1)
            throw failure
          }).catch((error: unknown) => error)
          const { session } = request
          return { same: caught === failure, data: session.data(), user: session.user }
        })
        const visitor = await scene.known(app, { n: 1, kept: 1, list: [1] })
        const { body } = await visitor.get('/')
        assert.deepEqual(body, { same: true, data: { n: 1, kept: 1, list: [1] }, user: null })
        assert.deepEqual(await scene.dataOf(visitor.cookie), { n: 1, kept: 1, list: [1] })
        assert.equal((await scene.record(visitor.cookie))?.user, null)
        await assertAllFree(scene, app)
      }),

      httpCase(`L4 withSessionLock() in ${mode}: works on a first visit and gives the visitor a session`, async (scene) => {
        const app = await scene.app({ locking: mode })
        app.get('/', async (request) => await request.withSessionLock((session) => session.set('n', 1).isNew))
        const visitor = scene.visitor(app)
        assert.equal((await visitor.get('/')).text, 'true')
        assert.deepEqual(await scene.dataOf(visitor.cookie), { n: 1 })
        await assertAllFree(scene, app)
      }),

      httpCase(`L4 withSessionLock() in ${mode}: one section after the other, each sees what was saved`, async (scene) => {
        const app = await scene.app({ locking: mode })
        app.get('/', async (request) => {
          const seen = []
          for (let i = 0; i < 3; i++) {
            seen.push(await request.withSessionLock((session) => {
              session.set('n', session.get('n') + 1)
              return session.get('n')
            }))
          }
          return seen
        })
        const visitor = await scene.known(app)
        assert.deepEqual((await visitor.get('/')).body, [1, 2, 3])
        assert.deepEqual(await scene.dataOf(visitor.cookie), { n: 3 })
      })
    ]),

    httpCase('L4 a section loads afresh, even what was read before', async (scene) => {
      const app = await scene.app()
      const gate = scene.gate()
      const reached = scene.gate()
      app.get('/', EXPLICIT, async (request) => {
        const before = request.session.get('n')
        reached.open()
        await gate.opened
        return await request.withSessionLock((session) => [before, session.get('n'), request.session.get('n')])
      })
      const visitor = await scene.known(app)
      const answer = visitor.get('/')
      await reached.opened
      await visitor.post('/increment')
      gate.open()
      assert.deepEqual((await answer).body, [0, 1, 1])
    }),

    httpCase('L4 after a section in an explicit route writes throw again, and others may go on', async (scene) => {
      const app = await scene.app()
      const gate = scene.gate()
      const reached = scene.gate()
      app.get('/', EXPLICIT, async (request) => {
        await request.withSessionLock((session) => { session.set('n', 5) })
        reached.open()
        await gate.opened
        return writable(request.session)
      })
      const visitor = await scene.known(app)
      const answer = visitor.get('/')
      await reached.opened
      assert.deepEqual((await visitor.post('/increment')).body, { n: 6 })
      gate.open()
      assert.equal((await answer).text, 'FST_SESSION_NOT_LOCKED')
      assert.deepEqual(await scene.dataOf(visitor.cookie), { n: 6 })
    }),

    httpCase('L4 a section in an implicit route keeps what was changed before it, also when it throws', async (scene) => {
      const app = await scene.app()
      app.get('/', IMPLICIT, async (request) => {
        request.session.set('before', 1)
        await request.withSessionLock((session) => {
          session.set('inside', 1)
          throw new Error('rolled back')
        }).catch(() => {})
        request.session.set('after', 1)
        return 'done'
      })
      const visitor = await scene.known(app, { n: 1 })
      await visitor.get('/')
      assert.deepEqual(await scene.dataOf(visitor.cookie), { n: 1, before: 1, after: 1 })
    }),

    httpCase('L4 a section that throws on a first visit leaves nothing behind', async (scene) => {
      const app = await scene.app()
      app.get('/', EXPLICIT, async (request) => {
        await request.withSessionLock((session) => {
          session.set('n', 1)
          throw new Error('rolled back')
        }).catch(() => {})
        return 'done'
      })
      const { setCookie } = await scene.visitor(app).get('/')
      assert.deepEqual(setCookie, [])
      assert.equal(scene.store.times('create'), 0)
    }),

    httpCase('L4 a section that another request destroyed the session before sees a new one', async (scene) => {
      const app = await scene.app()
      const gate = scene.gate()
      const reached = scene.gate()
      app.get('/', EXPLICIT, async (request) => {
        reached.open()
        await gate.opened
        return await request.withSessionLock((session) => ({ isNew: session.isNew, data: session.data(), id: session.id }))
      })
      const visitor = await scene.known(app)
      const answer = visitor.at(app).get('/')
      await reached.opened
      await visitor.post('/logout')
      gate.open()
      assert.deepEqual((await answer).body, { isNew: true, data: {}, id: null })
    })
  ]
}
