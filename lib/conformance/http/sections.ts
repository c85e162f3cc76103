// L4 and L5: locked sections, nested and side by side.
import assert from 'node:assert/strict'
import type { ConformanceCase, ConformanceOptions } from '../options.js'
import { sleep } from '../patience.js'
import { writable } from './modes.js'
import { EXPLICIT, IMPLICIT, MODES } from './routes.js'
import { assertAllFree, httpCases, queued } from './scene.js'

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
      }),

      httpCase(`L5 a nested call in ${mode} enters at once, and only the outermost one saves`, async (scene) => {
        const app = await scene.app({ locking: mode })
        app.get('/', async (request) => {
          const deep = async (levels: number): Promise<number> => await request.withSessionLock(async (session) => {
            await sleep(0)
            session.set('n', session.get('n') + 1)
            if (levels > 1) await deep(levels - 1)
            return scene.store.times('save')
          })
          return { during: await deep(4), after: scene.store.times('save') }
        })
        const visitor = await scene.known(app)
        assert.deepEqual((await visitor.get('/')).body, { during: 0, after: 1 })
        assert.deepEqual(await scene.dataOf(visitor.cookie), { n: 4 })
        await assertAllFree(scene, app)
      }),

      httpCase(`L5 calls side by side in ${mode} exclude each other`, async (scene) => {
        const app = await scene.app({ locking: mode })
        let inside = 0
        app.get('/', async (request) => {
          await Promise.all(Array.from({ length: 5 }, () => request.withSessionLock(async (session) => {
            assert.equal(++inside, 1)
            const n = session.get('n')
            await sleep(1)
            await request.withSessionLock(() => { session.set('n', n + 1) })
            inside--
          })))
          return 'done'
        })
        const visitor = await scene.known(app)
        const { status, text } = await visitor.get('/')
        assert.equal(status, 200, text)
        assert.deepEqual(await scene.dataOf(visitor.cookie), { n: 5 })
        await assertAllFree(scene, app)
      }),

      httpCase(`L5 of calls side by side in ${mode} one may throw: the others stand`, async (scene) => {
        const app = await scene.app({ locking: mode })
        app.get('/', async (request) => {
          const add = (fails: boolean) => request.withSessionLock(async (session) => {
            session.set('n', session.get('n') + 1)
            await sleep(1)
            if (fails) throw new Error('one of them')
          })
          return (await Promise.allSettled([add(false), add(true), add(false)])).map(({ status }) => status)
        })
        const visitor = await scene.known(app)
        assert.deepEqual((await visitor.get('/')).body, ['fulfilled', 'rejected', 'fulfilled'])
        assert.deepEqual(await scene.dataOf(visitor.cookie), { n: 2 })
        await assertAllFree(scene, app)
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
    }),

    ...(['implicit', 'section', 'acquireLock'] as const).map(way => httpCase(`L5 a loopback request that waits for its own caller's lock (${way}) fails at once with FST_SESSION_DEADLOCK`, async (scene) => {
      const app = await scene.app({ lockTimeout: Infinity })
      const loop = async (cookie: string) => {
        const { statusCode, payload } = await app.inject({ method: 'POST', url: '/increment', headers: { cookie } })
        return { statusCode, code: JSON.parse(payload).code }
      }
      app.get('/implicit', IMPLICIT, async (request) => await loop(String(request.headers.cookie)))
      app.get('/section', EXPLICIT, async (request) => await request.withSessionLock(async () => await loop(String(request.headers.cookie))))
      app.get('/acquireLock', EXPLICIT, async (request) => {
        await request.session.acquireLock()
        return await loop(String(request.headers.cookie))
      })
      const visitor = await scene.known(app)
      assert.deepEqual((await visitor.get(`/${way}`)).body, { statusCode: 500, code: 'FST_SESSION_DEADLOCK' })
      assert.deepEqual((await visitor.post('/increment')).body, { n: 1 })
      await assertAllFree(scene, app)
    })),

    httpCase('L5 a section of fastify.sessions inside of the lock fails with FST_SESSION_DEADLOCK, and the other way round', async (scene) => {
      const app = await scene.app({ lockTimeout: Infinity })
      app.get('/', IMPLICIT, async ({ session }) => {
        return await app.sessions.with(session.id!, () => 'entered').catch((error: { code: string }) => error.code)
      })
      const visitor = await scene.known(app)
      assert.equal((await visitor.get('/')).text, 'FST_SESSION_DEADLOCK')
      const headers = { cookie: `sessionId=${visitor.cookie}` }
      const { payload } = await app.sessions.with(visitor.cookie!, async () => await app.inject({ method: 'POST', url: '/increment', headers }))
      assert.equal(JSON.parse(payload).code, 'FST_SESSION_DEADLOCK')
      await assertAllFree(scene, app)
    }),

    httpCase('L5 a loopback request that needs no lock, or the lock of another session, is none', async (scene) => {
      const app = await scene.app({ lockTimeout: Infinity })
      const other = scene.visitor(app)
      app.get('/', IMPLICIT, async (request) => {
        const own = { cookie: String(request.headers.cookie) }
        return [
          (await app.inject({ url: '/data', headers: own })).statusCode,
          (await app.inject({ method: 'POST', url: '/increment', headers: { cookie: `sessionId=${other.cookie}` } })).json(),
          (await app.inject({ method: 'POST', url: '/increment' })).json()
        ]
      })
      await other.post('/data', { n: 0 })
      assert.deepEqual((await (await scene.known(app)).get('/')).body, [200, { n: 1 }, { n: 1 }])
    }),

    httpCase('L5 what a request left behind may take the lock once the request has given it back', async (scene) => {
      const app = await scene.app()
      const gate = scene.gate()
      let later: Promise<unknown> = Promise.resolve()
      app.get('/', IMPLICIT, async (request) => {
        const headers = { cookie: String(request.headers.cookie) }
        later = gate.opened.then(async () => (await app.inject({ method: 'POST', url: '/increment', headers })).json())
        return 'done'
      })
      const visitor = await scene.known(app)
      await visitor.get('/')
      gate.open()
      assert.deepEqual(await later, { n: 1 })
    }),

    httpCase('L5 a section of another request is no part of the chain: it waits and is served', async (scene) => {
      const app = await scene.app()
      const gate = scene.gate()
      app.get('/hold', MODES.explicit, async (request) => await request.withSessionLock(async (session) => {
        await gate.opened
        session.set('n', 10)
        return 'held'
      }))
      const visitor = await scene.known(app)
      const held = visitor.get('/hold')
      await queued(app, 0)
      const section = visitor.post('/section')
      await queued(app, 1)
      gate.open()
      assert.equal((await held).text, 'held')
      assert.deepEqual((await section).body, { n: 11 })
    })
  ]
}
