// S2: nothing that is gone comes back.
import assert from 'node:assert/strict'
import type { FastifyInstance } from 'fastify'
import type { Locking } from '../../../types/options.js'
import type { Session } from '../../session/session.js'
import type { ConformanceCase, ConformanceOptions } from '../options.js'
import type { Gate } from '../patience.js'
import { EXPLICIT, IMPLICIT, MODES } from './routes.js'
import { assertAllFree, HOUR, httpCases, type HttpScene, MINUTE, queued } from './scene.js'

const LOCKINGS = ['implicit', 'explicit', 'readonly'] as const

/** What ends a session while a slow request is under way. */
const ENDS: Record<string, (session: Session) => Promise<void>> = {
  'destroy()': (session) => session.destroy(),
  'regenerate()': (session) => session.regenerate(),
  'regenerate(true)': (session) => session.regenerate(true)
}

export function resurrectionCases (options: ConformanceOptions): ConformanceCase[] {
  const httpCase = httpCases(options)

  /** GET /slow/read and /slow/write have loaded the session, and go on when the gate opens. */
  async function slowRoutes (scene: HttpScene, locking: Locking): Promise<{ app: FastifyInstance, gate: Gate, reached: Gate }> {
    const app = await scene.app()
    const gate = scene.gate()
    const reached = scene.gate()
    app.get('/slow/read', MODES[locking], async ({ session }) => {
      const n = session.get('n')
      reached.open()
      await gate.opened
      return { n }
    })
    app.get('/slow/write', MODES[locking], async (request) => {
      const n = request.session.get('n')
      reached.open()
      await gate.opened
      const write = (session: Session) => { session.set('written', n) }
      if (locking === 'explicit') await request.withSessionLock(write)
      else write(request.session)
      return 'written'
    })
    for (const [name, end] of Object.entries(ENDS)) {
      for (const mode of ['implicit', 'explicit'] as const) {
        app.get(`/${mode}/${name}`, MODES[mode], async ({ session }) => {
          await end(session)
          return name
        })
      }
    }
    return { app, gate, reached }
  }

  /** The old cookie is worth nothing, and there are as many sessions as there should be. */
  async function assertDead (scene: HttpScene, app: FastifyInstance, cookie: string | null, sessions: number): Promise<void> {
    await assertAllFree(scene, app)
    assert.equal(await scene.record(cookie), null)
    const { body } = await scene.visitor(app, cookie).get('/data')
    assert.deepEqual([body.isNew, body.data], [true, {}])
    if (options.listing !== false) assert.equal(await app.sessions.count(), sessions)
  }

  return [
    ...LOCKINGS.flatMap(locking => Object.keys(ENDS).flatMap(end => (['implicit', 'explicit'] as const).map(mode =>
      httpCase(`S2 ${end} in an ${mode} route during a slow ${locking} reader: the session stays gone`, async (scene) => {
        const { app, gate, reached } = await slowRoutes(scene, locking)
        const visitor = await scene.known(app, { n: 7 })
        const old = visitor.cookie
        const slow = visitor.at(app).get('/slow/read')
        await reached.opened
        scene.clock.advance(10 * MINUTE) // The slow visit would move the expiry.
        const ending = visitor.get(`/${mode}/${end}`)
        if (locking === 'implicit') await queued(app, 1)
        else assert.equal((await ending).status, 200)
        gate.open()
        const { body, setCookie } = await slow
        assert.deepEqual(body, { n: 7 })
        assert.equal((await ending).status, 200)
        if (locking !== 'implicit') assert.deepEqual(setCookie, [])
        await assertDead(scene, app, old, end === 'regenerate(true)' ? 1 : 0)
      })))),

    ...(['destroy()', 'regenerate()', 'regenerate(true)'] as const).map(end => httpCase(`S2 ${end} during a slow explicit writer: it writes to a session of its own, under a new id`, async (scene) => {
      const { app, gate, reached } = await slowRoutes(scene, 'explicit')
      const visitor = await scene.known(app, { n: 7 })
      const old = visitor.cookie
      const other = visitor.at(app)
      const slow = other.get('/slow/write')
      await reached.opened
      await visitor.get(`/implicit/${end}`)
      gate.open()
      assert.equal((await slow).text, 'written')
      assert.notEqual(other.cookie, old)
      assert.deepEqual(await scene.dataOf(other.cookie), { written: 7 }, 'nothing of the old session comes along')
      if (end === 'regenerate(true)') assert.deepEqual(await scene.dataOf(visitor.cookie), { n: 7 })
      await assertDead(scene, app, old, end === 'regenerate(true)' ? 2 : 1)
    })),

    httpCase('S2 a writer that waits for the lock of a session that is destroyed finds an empty one, under a new id', async (scene) => {
      const app = await scene.app()
      const gate = scene.gate()
      app.get('/logout', IMPLICIT, async ({ session }) => {
        await gate.opened
        await session.destroy()
        return 'bye'
      })
      const visitor = await scene.known(app, { n: 7 })
      const old = visitor.cookie
      const other = visitor.at(app)
      const logout = visitor.get('/logout')
      await queued(app, 0)
      const writing = other.post('/increment')
      await queued(app, 1)
      gate.open()
      await logout
      assert.deepEqual((await writing).body, { n: 1 })
      assert.notEqual(other.cookie, old)
      assert.deepEqual(await scene.dataOf(other.cookie), { n: 1 })
      assert.equal(visitor.cookie, null)
      await assertDead(scene, app, old, 1)
    }),

    httpCase('S2 a session destroyed from outside of requests stays gone, whatever slow requests do', async (scene) => {
      const { app, gate, reached } = await slowRoutes(scene, 'explicit')
      const visitor = await scene.known(app, { n: 7 })
      const old = visitor.cookie
      const slow = visitor.get('/slow/read')
      await reached.opened
      scene.clock.advance(10 * MINUTE)
      assert.equal(await app.sessions.destroy(old!), true)
      gate.open()
      await slow
      await assertDead(scene, app, old, 0)
    }),

    httpCase('S2 a session destroyed by another application stays gone', async (scene) => {
      const { app, gate, reached } = await slowRoutes(scene, 'explicit')
      const twin = await scene.twin()
      const visitor = await scene.known(app, { n: 7 })
      const old = visitor.cookie
      const slow = visitor.at(app).get('/slow/read')
      await reached.opened
      scene.clock.advance(10 * MINUTE)
      assert.equal((await visitor.at(twin).post('/logout')).status, 200)
      gate.open()
      await slow
      await assertDead(scene, app, old, 0)
    }),

    ...(['explicit', 'readonly'] as const).map(locking => httpCase(`S2 a session that expires during a slow ${locking} reader stays gone`, async (scene) => {
      const { app, gate, reached } = await slowRoutes(scene, locking)
      const visitor = await scene.known(app, { n: 7 })
      const slow = visitor.at(app).get('/slow/read')
      await reached.opened
      scene.clock.advance(HOUR + 1)
      gate.open()
      assert.deepEqual((await slow).setCookie, [])
      await assertDead(scene, app, visitor.cookie, 0)
    })),

    httpCase('S2 a session that expires during a slow explicit writer is not written again', async (scene) => {
      const { app, gate, reached } = await slowRoutes(scene, 'explicit')
      const visitor = await scene.known(app, { n: 7 })
      const old = visitor.cookie
      const slow = visitor.get('/slow/write')
      await reached.opened
      scene.clock.advance(HOUR + 1)
      gate.open()
      await slow
      assert.notEqual(visitor.cookie, old)
      assert.deepEqual(await scene.dataOf(visitor.cookie), { written: 7 })
      await assertDead(scene, app, old, 1)
    }),

    ...(['/slow/read', '/slow/write'] as const).map(url => httpCase(`S2 a session does not expire while a request holds its lock (${url})`, async (scene) => {
      const { app, gate, reached } = await slowRoutes(scene, 'implicit')
      const visitor = await scene.known(app, { n: 7 })
      const slow = visitor.get(url)
      await reached.opened
      scene.clock.advance(2 * HOUR)
      await app.sessions.prune()
      assert.deepEqual((await visitor.at(app).get('/data')).body, { data: { n: 7 }, isNew: false, user: null })
      const waiting = visitor.post('/increment')
      await queued(app, 1)
      gate.open()
      assert.equal((await slow).status, 200)
      assert.deepEqual((await waiting).body, { n: 8 })
      assert.equal((await scene.dataOf(visitor.cookie)).n, 8)
    })),

    httpCase('S2 after destroy() writes throw FST_SESSION_DESTROYED, and nothing is stored at the end', async (scene) => {
      const app = await scene.app()
      app.get('/', IMPLICIT, async ({ session }) => {
        const { id } = session
        await session.destroy()
        const gone = await scene.record(id) === null
        try {
          session.set('n', 1)
        } catch (error) {
          return { gone, code: (error as { code?: string }).code, id: session.id, data: session.data() }
        }
      })
      const visitor = await scene.known(app)
      const old = visitor.cookie
      assert.deepEqual((await visitor.get('/')).body, { gone: true, code: 'FST_SESSION_DESTROYED', id: null, data: {} })
      assert.equal(visitor.cookie, null)
      await assertDead(scene, app, old, 0)
    }),

    httpCase('S2 destroy() counts although the request fails afterwards', async (scene) => {
      const app = await scene.app()
      app.get('/', EXPLICIT, async ({ session }) => {
        await session.destroy()
        throw new Error('broken')
      })
      const visitor = await scene.known(app)
      const old = visitor.cookie
      assert.equal((await visitor.get('/')).status, 500)
      assert.equal(visitor.cookie, null)
      await assertDead(scene, app, old, 0)
    })
  ]
}
