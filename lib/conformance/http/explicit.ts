// L2: in an explicit route the handler takes the lock when it needs it.
import assert from 'node:assert/strict'
import type { ConformanceCase, ConformanceOptions } from '../options.js'
import { writable } from './modes.js'
import { EXPLICIT, IMPLICIT } from './routes.js'
import { assertAllFree, httpCases } from './scene.js'

export function explicitCases (options: ConformanceOptions): ConformanceCase[] {
  const httpCase = httpCases(options)
  return [
    httpCase('L2 a write that is not caught fails the request with FST_SESSION_NOT_LOCKED', async (scene) => {
      const app = await scene.app({ locking: 'explicit' })
      app.get('/', async ({ session }) => session.set('a', 1).data())
      const { status, body } = await scene.visitor(app).get('/')
      assert.equal(status, 500)
      assert.equal(body.code, 'FST_SESSION_NOT_LOCKED')
    }),

    httpCase('L2 acquireLock() locks and loads afresh, releaseLock() saves and unlocks', async (scene) => {
      const app = await scene.app()
      const gate = scene.gate()
      const reached = scene.gate()
      app.get('/', EXPLICIT, async ({ session }) => {
        reached.open()
        await gate.opened
        const old = session.get('n')
        await session.acquireLock()
        await session.acquireLock()
        const fresh = session.get('n')
        session.set('n', fresh + 10)
        const held = app.sessions.stats().locks.held
        await session.releaseLock()
        return { old, fresh, held, heldAfter: app.sessions.stats().locks.held, stored: await scene.dataOf(session.id), locked: session.locked, writable: writable(session) }
      })
      const visitor = await scene.known(app)
      const answer = visitor.get('/')
      await reached.opened
      await visitor.post('/increment')
      gate.open()
      assert.deepEqual((await answer).body, { old: 0, fresh: 1, held: 1, heldAfter: 0, stored: { n: 11 }, locked: false, writable: 'FST_SESSION_NOT_LOCKED' })
      await assertAllFree(scene, app)
    }),

    httpCase('L2 a lock that the handler forgets is released when the reply is sent, and its changes are saved', async (scene) => {
      const app = await scene.app({ locking: 'explicit' })
      app.get('/', async ({ session }) => {
        await session.acquireLock()
        session.set('n', 5)
        return 'forgotten'
      })
      const visitor = await scene.known(app)
      await visitor.get('/')
      assert.deepEqual(await scene.dataOf(visitor.cookie), { n: 5 })
      await assertAllFree(scene, app)
    }),

    httpCase('L2 releaseLock() without a lock throws FST_SESSION_NOT_LOCKED', async (scene) => {
      const app = await scene.app({ locking: 'explicit' })
      app.get('/', async ({ session }) => await session.releaseLock())
      assert.equal((await (await scene.known(app)).get('/')).body.code, 'FST_SESSION_NOT_LOCKED')
    }),

    httpCase('L2 an implicit route may release the lock early and take it again', async (scene) => {
      const app = await scene.app()
      app.get('/', IMPLICIT, async ({ session }) => {
        session.set('n', 1)
        await session.releaseLock()
        const refused = writable(session)
        await session.acquireLock()
        session.set('n', session.get('n') + 1)
        return refused
      })
      const visitor = await scene.known(app)
      assert.equal((await visitor.get('/')).text, 'FST_SESSION_NOT_LOCKED')
      assert.deepEqual(await scene.dataOf(visitor.cookie), { n: 2 })
      await assertAllFree(scene, app)
    })
  ]
}
