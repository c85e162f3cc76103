// L5: sections are re-entrant by call chain: nested calls enter, siblings take turns, and a chain does not wait for itself.
import type { FastifyReply } from 'fastify'
import assert from 'node:assert/strict'
import type { Session } from '../../session/session.js'
import type { ConformanceCase, ConformanceOptions } from '../options.js'
import { sleep, until } from '../patience.js'
import { EXPLICIT, IMPLICIT, MODES } from './routes.js'
import { assertAllFree, httpCases, queued } from './scene.js'

export function nestingCases (options: ConformanceOptions): ConformanceCase[] {
  const httpCase = httpCases(options)
  return [
    ...(['implicit', 'explicit'] as const).flatMap(mode => [
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

    ...(['implicit', 'section'] as const).map(way => httpCase(`L5 who has sent the reply (${way}) holds nothing any more: a section on the same session waits for the save and is served`, async (scene) => {
      const app = await scene.app()
      const saved = scene.gate()
      const add = async (session: Session) => {
        await app.sessions.with(session.id!, (own) => { own.set('n', own.get('n') + 1) })
      }
      const answered: unknown[] = []
      const answer = async (session: Session, reply: FastifyReply) => {
        session.set('n', 10)
        scene.store.before = (call) => call === 'save' ? saved.opened : undefined
        reply.send('sent')
        const added = add(session).then(() => 'added', (error: { code: string }) => error.code)
        saved.open()
        answered.push(await added)
      }
      app.get('/implicit', IMPLICIT, async (request, reply) => {
        await answer(request.session, reply)
        return reply
      })
      app.get('/section', EXPLICIT, async (request, reply) => {
        await request.withSessionLock(async (session) => await answer(session, reply))
        return reply
      })
      const visitor = await scene.known(app)
      assert.equal((await visitor.get(`/${way}`)).text, 'sent')
      await until('the section', () => answered.length === 1)
      assert.deepEqual(answered, ['added'])
      assert.deepEqual(await scene.dataOf(visitor.cookie), { n: 11 })
      await assertAllFree(scene, app)
    })),

    httpCase('L5 inside of a section that was saved with the reply no lock can be taken again: it fails at once, also through another section', async (scene) => {
      const app = await scene.app({ lockTimeout: Infinity })
      const other = scene.visitor(app)
      const codes: Record<string, unknown> = {}
      app.get('/', EXPLICIT, async (request) => {
        await request.withSessionLock(async (session) => {
          await session.commit()
          const tries: Record<string, () => Promise<unknown>> = {
            nested: async () => await request.withSessionLock(() => {}),
            through: async () => await app.sessions.with(other.cookie!, async () => await request.withSessionLock(() => {})),
            acquireLock: async () => await session.acquireLock(),
            save: async () => await session.save(),
            destroy: async () => await session.destroy(),
            regenerate: async () => await session.regenerate()
          }
          for (const [name, run] of Object.entries(tries)) codes[name] = await run().then(() => 'done', (error: { code?: string }) => error.code)
        })
        await request.withSessionLock((session) => { session.set('n', 5) })
        return 'sent'
      })
      const visitor = await scene.known(app)
      await other.post('/data', { n: 0 })
      assert.equal((await visitor.get('/')).text, 'sent')
      assert.deepEqual(new Set(Object.values(codes)), new Set(['FST_SESSION_COMMITTED']), JSON.stringify(codes))
      assert.deepEqual(await scene.dataOf(visitor.cookie), { n: 5 })
      await assertAllFree(scene, app)
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
