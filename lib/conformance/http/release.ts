// L6: the lock is released exactly once, whatever happens to the request.
import assert from 'node:assert/strict'
import type { FastifyInstance } from 'fastify'
import { Readable } from 'node:stream'
import type { ConformanceCase, ConformanceOptions } from '../options.js'
import { type Gate, sleep, until } from '../patience.js'
import { listen, type Visitor } from './client.js'
import { ENDINGS, type Handler } from './endings.js'
import { EXPLICIT, IMPLICIT } from './routes.js'
import { assertAllFree, httpCases, type HttpScene, queued } from './scene.js'

export function releaseCases (options: ConformanceOptions): ConformanceCase[] {
  const httpCase = httpCases(options)

  /** After the request: the lock is free, the right data are stored, and the next one is served. */
  async function assertServed (scene: HttpScene, app: FastifyInstance, cookie: string, n: number): Promise<void> {
    await assertAllFree(scene, app)
    if (n === -1) assert.equal(await scene.record(cookie), null)
    else assert.deepEqual(await scene.dataOf(cookie), { n })
    assert.equal((await scene.visitor(app, cookie).post('/increment')).status, 200)
    await assertAllFree(scene, app)
  }

  /** A handler with the lock that goes on when the gate opens; its client leaves before. */
  async function clientLeaves (scene: HttpScene, handler: (gate: Gate) => Handler): Promise<{ app: FastifyInstance, visitor: Visitor, gate: Gate }> {
    const app = await scene.app()
    const gate = scene.gate()
    const reached = scene.gate()
    app.get('/', IMPLICIT, (request, reply) => {
      reached.open()
      return handler(gate)(request, reply)
    })
    await listen(app)
    const visitor = await scene.known(app)
    const exchange = visitor.open('/')
    await reached.opened
    exchange.leave()
    await assert.rejects(exchange.answer)
    return { app, visitor, gate }
  }

  return [
    ...Object.entries(ENDINGS).map(([name, { handler, n, answers = true }]) => httpCase(`L6 ${name}: the lock is released once`, async (scene) => {
      const app = await scene.app()
      app.get('/', IMPLICIT, (request, reply) => {
        request.session.set('n', 1)
        return handler(request, reply)
      })
      await listen(app)
      const visitor = await scene.known(app)
      const cookie = visitor.cookie!
      const { answer } = visitor.open('/')
      if (answers) await answer
      else await assert.rejects(answer)
      await assertServed(scene, app, cookie, n)
    })),

    ...(['returns', 'throws'] as const).map(way => httpCase(`L6 L1 the client leaves and then the handler ${way}: the lock stays until then, and is released once`, async (scene) => {
      const { app, visitor, gate } = await clientLeaves(scene, (gate) => async ({ session }) => {
        const n = session.get('n')
        await gate.opened
        session.set('n', n + 1)
        if (way === 'throws') throw new Error('broken')
        return 'x'
      })
      const next = visitor.post('/increment')
      await queued(app, 1)
      await sleep(20)
      await queued(app, 1)
      gate.open()
      assert.deepEqual((await next).body, { n: way === 'returns' ? 2 : 1 })
      await assertAllFree(scene, app)
    })),

    httpCase('L6 the client leaves while a section runs: it ends as always', async (scene) => {
      const { app, visitor, gate } = await clientLeaves(scene, (gate) => async (request) => await request.withSessionLock(async (session) => {
        await gate.opened
        session.set('n', 5)
      }))
      gate.open()
      await assertServed(scene, app, visitor.cookie!, 5)
    }),

    httpCase('L6 the client leaves a stream: the lock was free already', async (scene) => {
      const app = await scene.app()
      app.get('/', IMPLICIT, ({ session }) => {
        session.set('n', 1)
        return new Readable({ read () { setTimeout(() => this.push('x'), 1) } })
      })
      await listen(app)
      const visitor = await scene.known(app)
      const { begun, leave } = visitor.open('/')
      await begun
      leave()
      await assertServed(scene, app, visitor.cookie!, 1)
    }),

    httpCase('L6 a hook that comes later answers or throws: the lock is released once', async (scene) => {
      const app = await scene.app()
      app.addHook('preHandler', async (request, reply) => {
        if (request.url === '/answers') return await reply.code(401).send('no')
        if (request.url === '/throws') throw new Error('broken')
      })
      app.addHook('onSend', async (request) => {
        if (request.url === '/onsend') throw new Error('broken')
      })
      for (const url of ['/answers', '/throws', '/onsend']) app.get(url, IMPLICIT, async () => 'x')
      const visitor = await scene.known(app)
      for (const [url, status] of [['/answers', 401], ['/throws', 500], ['/onsend', 500]] as const) {
        assert.equal((await visitor.get(url)).status, status)
        await assertAllFree(scene, app)
      }
      await assertServed(scene, app, visitor.cookie!, 0)
    }),

    httpCase('L6 a body that is refused before the handler: the lock is released once', async (scene) => {
      const app = await scene.app({}, { bodyLimit: 100 })
      app.post('/schema', { ...IMPLICIT, schema: { body: { type: 'object', required: ['a'] } } }, async () => 'x')
      const visitor = await scene.known(app)
      assert.equal((await visitor.post('/schema', { b: 1 })).status, 400)
      assert.equal((await visitor.post('/schema', { a: 'x'.repeat(200) })).status, 413)
      assert.equal((await visitor.send('/schema', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"a":' })).status, 400)
      await assertServed(scene, app, visitor.cookie!, 0)
    }),

    httpCase('L6 S1 a holder that takes longer than maxHold is overtaken, and its late release harms nobody', async (scene) => {
      const app = await scene.app()
      const gate = scene.gate()
      const second = scene.gate()
      app.get('/stuck', { config: { session: { maxHold: 50 } } }, async () => {
        await gate.opened
        return 'late'
      })
      app.get('/next', async ({ session }) => {
        await second.opened
        session.set('n', 1)
        return 'next'
      })
      const visitor = await scene.known(app)
      const stuck = visitor.get('/stuck')
      await queued(app, 0)
      const next = visitor.get('/next')
      await until('the overtaking', () => app.sessions.stats().locks.overtaken === 1)
      await queued(app, 0)
      const third = visitor.post('/increment')
      await queued(app, 1)
      gate.open()
      assert.equal((await stuck).status, 200)
      await sleep(20)
      await queued(app, 1)
      second.open()
      assert.equal((await next).status, 200)
      assert.deepEqual((await third).body, { n: 2 })
      const { acquired, released } = app.sessions.stats().locks
      assert.equal(released, acquired)
      assert.ok(scene.log.from('warn').some(line => line.includes('/stuck')), 'the log names the route')
    }),

    httpCase('L6 app.close() waits for a handler that holds the lock, and its changes are saved before the store is closed', async (scene) => {
      const app = await scene.app()
      const gate = scene.gate()
      const reached = scene.gate()
      app.get('/', EXPLICIT, async (request) => await request.withSessionLock(async (session) => {
        reached.open()
        await gate.opened
        session.set('n', 5)
      }))
      const visitor = await scene.known(app)
      const answer = visitor.get('/')
      await reached.opened
      const closing = app.close()
      await sleep(20)
      assert.equal(scene.store.closed, false)
      let n: unknown
      scene.store.before = (call) => {
        if (call === 'save') n = scene.store.closed
      }
      gate.open()
      await Promise.all([answer, closing])
      assert.equal(n, false)
      assert.equal(scene.store.times('save'), 1)
      assert.equal(scene.store.closed, true)
    }),

    httpCase('L6 a store that fails to release: the reply is sent, and the request is over', async (scene) => {
      const app = await scene.app()
      const visitor = await scene.known(app)
      scene.store.before = (call) => {
        if (call === 'release') throw new Error('out of reach')
      }
      const { status } = await visitor.send('/data', { method: 'POST', body: {} })
      assert.equal(status, 200)
      assert.equal(app.sessions.stats().locks.held, 0)
    })
  ]
}
