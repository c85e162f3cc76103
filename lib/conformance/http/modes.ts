// L2 and L3: reading without the lock, and the errors for writes.
import assert from 'node:assert/strict'
import type { FastifyInstance } from 'fastify'
import type { Session } from '../../session/session.js'
import type { ConformanceCase, ConformanceOptions } from '../options.js'
import { IMPLICIT, MODES, READONLY } from './routes.js'
import { httpCases, type HttpScene, queued } from './scene.js'

/** Every way to change a session without waiting. */
const WRITES: Record<string, (session: Session) => unknown> = {
  'set()': (session) => session.set('a', 2),
  'delete()': (session) => session.delete('a'),
  'pop()': (session) => session.pop('a'),
  'setDefault() of a new key': (session) => session.setDefault('new', 1),
  'update()': (session) => session.update({ a: 2 }),
  'clear()': (session) => session.clear(),
  'setUser()': (session) => session.setUser('ann')
}

/** Every way to change it that takes the lock. */
const LOCKING_WRITES: Record<string, (session: Session) => Promise<unknown>> = {
  'save()': (session) => session.save(),
  'regenerate()': (session) => session.regenerate(),
  'destroy()': (session) => session.destroy(),
  'acquireLock()': (session) => session.acquireLock()
}

export function modeCases (options: ConformanceOptions): ConformanceCase[] {
  const httpCase = httpCases(options)

  /** The codes that the writes throw in a route, for a visitor who has a session and for one who has none. */
  async function codesOf (scene: HttpScene, app: FastifyInstance, mode: 'explicit' | 'readonly', writes: Record<string, (session: Session) => unknown>): Promise<void> {
    const expected = mode === 'explicit' ? 'FST_SESSION_NOT_LOCKED' : 'FST_SESSION_READ_ONLY'
    app.get('/writes', MODES[mode], async ({ session }) => {
      const codes: Record<string, unknown> = {}
      for (const [name, write] of Object.entries(writes)) {
        try {
          await write(session)
        } catch (error) {
          codes[name] = (error as { code?: unknown }).code
        }
      }
      return codes
    })
    for (const visitor of [await scene.known(app, { a: 1 }), scene.visitor(app)]) {
      const before = visitor.cookie
      const { body, setCookie } = await visitor.get('/writes')
      assert.deepEqual(body, Object.fromEntries(Object.keys(writes).map(name => [name, expected])))
      assert.deepEqual(setCookie, [])
      if (before !== null) assert.deepEqual(await scene.dataOf(before), { a: 1 })
    }
    assert.equal(scene.store.times('create'), 1)
    assert.equal(scene.store.times('save'), 0)
  }

  return [
    ...(['explicit', 'readonly'] as const).flatMap(mode => {
      const rule = mode === 'explicit' ? 'L2' : 'L3'
      return [
        httpCase(`${rule} ${mode}: the request waits for no holder and reads what was saved last`, async (scene) => {
          const app = await scene.app({ locking: mode })
          const gate = scene.gate()
          app.get('/hold', IMPLICIT, async ({ session }) => {
            session.set('a', 2)
            await gate.opened
            return 'held'
          })
          app.get('/read', async ({ session }) => ({ a: session.get('a'), locked: session.locked }))
          const visitor = await scene.known(app, { a: 1 })
          const held = visitor.get('/hold')
          await queued(app, 0)
          assert.deepEqual((await visitor.get('/read')).body, { a: 1, locked: false })
          gate.open()
          await held
          assert.deepEqual((await visitor.get('/read')).body, { a: 2, locked: false })
        }),

        httpCase(`${rule} ${mode}: the request keeps nobody waiting`, async (scene) => {
          const app = await scene.app()
          const gate = scene.gate()
          const reached = scene.gate()
          app.get('/read', MODES[mode], async ({ session }) => {
            reached.open()
            await gate.opened
            return session.get('n')
          })
          const visitor = await scene.known(app)
          const reading = visitor.get('/read')
          await reached.opened
          assert.equal(app.sessions.stats().locks.held, 0)
          assert.deepEqual((await visitor.post('/increment')).body, { n: 1 })
          gate.open()
          assert.equal((await reading).body, 0, 'what the request reads stays as it was when it came')
        }),

        httpCase(`${rule} ${mode}: a snapshot is of one moment, and reload() brings a newer one`, async (scene) => {
          const app = await scene.app()
          const gate = scene.gate()
          const reached = scene.gate()
          app.get('/read', MODES[mode], async ({ session }) => {
            const before = session.get('a')
            reached.open()
            await gate.opened
            const old = { a: before, b: session.get('b'), user: session.user }
            await session.reload()
            return [old, { a: session.get('a'), b: session.get('b'), user: session.user }]
          })
          app.get('/write', IMPLICIT, async ({ session }) => {
            session.update({ a: 2, b: 2 })
            session.setUser('ann')
            return 'written'
          })
          const visitor = await scene.known(app, { a: 1, b: 1 })
          const reading = visitor.get('/read')
          await reached.opened
          await visitor.get('/write')
          gate.open()
          assert.deepEqual((await reading).body, [{ a: 1, b: 1, user: null }, { a: 2, b: 2, user: 'ann' }])
        }),

        httpCase(`${rule} ${mode}: every write throws, on a first visit, too`, async (scene) => {
          await codesOf(scene, await scene.app(), mode, WRITES)
        }),

        httpCase(`${rule} ${mode}: nested values cannot be changed in silence`, async (scene) => {
          const app = await scene.app()
          app.get('/', MODES[mode], async ({ session }) => {
            session.get('cart').articles.push('tea')
            return 'changed'
          })
          const visitor = await scene.known(app, { cart: { articles: ['milk'] } })
          assert.equal((await visitor.get('/')).status, 500)
          assert.deepEqual(await scene.dataOf(visitor.cookie), { cart: { articles: ['milk'] } })
        })
      ]
    }),

    httpCase('L3 what takes the lock throws FST_SESSION_READ_ONLY', async (scene) => {
      await codesOf(scene, await scene.app(), 'readonly', LOCKING_WRITES)
    }),

    httpCase('L3 withSessionLock() throws FST_SESSION_READ_ONLY and does not run its function', async (scene) => {
      const app = await scene.app()
      let ran = false
      app.get('/', READONLY, async (request) => await request.withSessionLock(() => { ran = true }))
      for (const visitor of [await scene.known(app), scene.visitor(app)]) {
        assert.equal((await visitor.get('/')).body.code, 'FST_SESSION_READ_ONLY')
      }
      assert.equal(ran, false)
    }),

    httpCase('L3 a reader sees two keys that are written together always together', async (scene) => {
      const app = await scene.app()
      app.post('/both', IMPLICIT, async ({ session }) => {
        const n = session.get('a') + 1
        session.update({ a: n, b: n, padding: 'x'.repeat(n * 50) })
        return 'written'
      })
      app.get('/both', READONLY, async ({ session }) => ({ a: session.get('a'), b: session.get('b') }))
      const visitor = await scene.known(app, { a: 0, b: 0 })
      const reads = []
      const writes = []
      for (let i = 0; i < 30; i++) {
        writes.push(visitor.post('/both'))
        reads.push(visitor.get('/both'))
        if (i % 3 === 0) await writes.at(-1)
      }
      for (const { body } of await Promise.all(reads)) assert.equal(body.a, body.b)
      await Promise.all(writes)
      assert.deepEqual((await visitor.get('/both')).body, { a: 30, b: 30 })
    })
  ]
}

/** 'yes', or the code of the error. */
export function writable (session: Session): unknown {
  try {
    session.set('probe', 1)
    session.delete('probe')
    return 'yes'
  } catch (error) {
    return (error as { code?: unknown }).code
  }
}
