// S7 for handlers that go their own way: a hijacked reply, or a handlerTimeout that has answered for them.
import assert from 'node:assert/strict'
import type { FastifyRequest } from 'fastify'
import type { ConformanceCase, ConformanceOptions } from '../options.js'
import { until } from '../patience.js'
import { listen } from './client.js'
import { assertKept, FROZEN, probe } from './frozen.js'
import { IMPLICIT, MODES } from './routes.js'
import { assertAllFree, httpCases } from './scene.js'

export function lateCases (options: ConformanceOptions): ConformanceCase[] {
  const httpCase = httpCases(options)
  return [
    httpCase('S7 when the reply is hijacked the session is saved and frozen, and withSessionLock() still works', async (scene) => {
      const app = await scene.app()
      const probes: unknown[] = []
      app.get('/', IMPLICIT, async (request, reply) => {
        request.session.set('n', 1)
        reply.hijack()
        probes.push(await probe(request))
        await request.withSessionLock((session) => { session.set('late', 1) })
        reply.raw.end('raw')
      })
      await listen(app)
      const visitor = await scene.known(app, { n: 0, list: [1] })
      assert.equal((await visitor.open('/').answer).text, 'raw')
      assert.deepEqual(probes, [FROZEN])
      await assertKept(scene, app, visitor.cookie, { n: 1, list: [1], late: 1 })
    }),

    httpCase('S7 a new session is saved when the reply is hijacked, and its cookie goes with the raw reply', async (scene) => {
      const app = await scene.app()
      app.get('/', IMPLICIT, async (request, reply) => {
        request.session.update({ n: 1, list: [1] })
        reply.hijack().raw.writeHead(200, { 'set-cookie': 'other=1', 'x-raw': '1' }).end('raw')
      })
      await listen(app)
      const visitor = scene.visitor(app)
      const { headers, setCookie } = await visitor.open('/').answer
      assert.equal(headers['x-raw'], '1')
      assert.equal(setCookie.length, 1)
      assert.equal(headers['set-cookie']?.length, 2)
      // A raw reply does not wait for a store that has to be asked over the network.
      await until('the session', async () => await scene.record(visitor.cookie) !== null)
      await assertKept(scene, app, visitor.cookie)
    }),

    httpCase('S7 where a cookie would be needed and can no longer be sent, nothing is stored and the write says so', async (scene) => {
      const app = await scene.app()
      const codes: unknown[] = []
      const section = async (request: FastifyRequest) => await request.withSessionLock((session) => { session.set('n', 1) }).then(() => 'saved', (error: { code?: string }) => error.code)
      app.get('/hijacked', MODES.explicit, async (request, reply) => {
        reply.hijack()
        codes.push(await section(request))
        reply.raw.end('raw')
      })
      let later: Promise<unknown> = Promise.resolve()
      const gate = scene.gate()
      app.get('/later', MODES.explicit, async (request) => {
        later = gate.opened.then(async () => await section(request))
        return 'sent'
      })
      await listen(app)
      assert.deepEqual((await scene.visitor(app).open('/hijacked').answer).setCookie, [])
      await scene.visitor(app).open('/later').answer
      gate.open()
      codes.push(await later)
      assert.deepEqual(codes, ['FST_SESSION_COMMITTED', 'FST_SESSION_COMMITTED'])
      assert.equal(scene.store.times('create'), 0)
    }),

    httpCase('S7 when handlerTimeout has answered for a handler that runs on, its writes throw FST_SESSION_COMMITTED', async (scene) => {
      const app = await scene.app()
      const gate = scene.gate()
      const probes: unknown[] = []
      app.get('/', { ...IMPLICIT, handlerTimeout: 30 }, async (request) => {
        request.session.set('n', 5) // Dropped: the reply is a 503.
        await gate.opened
        probes.push(await probe(request))
        return 'too late'
      })
      const visitor = await scene.known(app, { n: 1, list: [1] })
      const answered = visitor.get('/')
      const { initialConfig } = app
      if (!('handlerTimeout' in initialConfig)) gate.open() // This Fastify does not know the option yet.
      const { status } = await answered
      if (!('handlerTimeout' in initialConfig)) return
      assert.equal(status, 503)
      assert.equal(app.sessions.stats().locks.held, 0)
      gate.open()
      await until('the handler', () => probes.length === 1)
      assert.deepEqual(probes, [FROZEN])
      await assertKept(scene, app, visitor.cookie)
    }),

    httpCase('S7 handlerTimeout while the request waits for the lock: its handler never runs, and its place is given up', async (scene) => {
      const app = await scene.app()
      if (!('handlerTimeout' in app.initialConfig)) return
      const gate = scene.gate()
      let ran = false
      app.get('/hold', IMPLICIT, async () => {
        await gate.opened
        return 'held'
      })
      app.get('/', { ...IMPLICIT, handlerTimeout: 30 }, async () => { ran = true })
      const visitor = await scene.known(app)
      const held = visitor.get('/hold')
      await until('the lock to be held', () => app.sessions.stats().locks.held === 1)
      assert.equal((await visitor.get('/')).status, 503)
      assert.equal(app.sessions.stats().locks.waiting, 0)
      gate.open()
      await held
      assert.equal(ran, false)
      assert.deepEqual((await visitor.post('/increment')).body, { n: 1 })
      await assertAllFree(scene, app)
    })
  ]
}
