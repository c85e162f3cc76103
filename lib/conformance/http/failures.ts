// S6 and S8: a store that is out of reach.
import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import type { ConformanceCase, ConformanceOptions } from '../options.js'
import { sleep, until } from '../patience.js'
import { code } from '../store/store-scene.js'
import { listen } from './client.js'
import { EXPLICIT, IMPLICIT, MODES } from './routes.js'
import { assertAllFree, HOUR, httpCases, type HttpScene, keyOf, queued } from './scene.js'
import type { StoreCall } from './watched-store.js'

const DRIVER_MESSAGES = [
  'ENOSPC: no space left on device, write \'/var/lib/secret-folder/file\'',
  'connect ECONNREFUSED 10.1.2.3:6379 password=secret-of-the-driver'
]

/** Stores fail in two ways: at once, or later. */
const WAYS = {
  throws: (error: Error) => { throw error },
  rejects: async (error: Error) => {
    await sleep(1)
    throw error
  }
} as const

export function failureCases (options: ConformanceOptions): ConformanceCase[] {
  const httpCase = httpCases(options)

  function breakDown (scene: HttpScene, fail: (error: Error) => unknown, calls: StoreCall[], message = DRIVER_MESSAGES[0]!): void {
    scene.store.forget()
    scene.store.before = (call, key) => {
      if (calls.includes(call)) return fail(new Error(`${message} ${key}`))
    }
  }

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

      ...(['save', 'create'] as const).map(call => httpCase(`S8 a store that ${way} on ${call}: 503 with a fixed text, tried once, without location, cookie and details`, async (scene) => {
        const app = await scene.app()
        app.get('/', IMPLICIT, async ({ session }, reply) => {
          session.set('secret', 'value-of-the-secret')
          return reply.setCookie('other', 'stays').header('cache-control', 'public').redirect('/welcome')
        })
        const visitor = await scene.known(app)
        const cookie = visitor.cookie!
        const texts = new Set<string>()
        for (const message of DRIVER_MESSAGES) {
          breakDown(scene, fail, [call], message)
          scene.log.forget()
          const { status, text, body, headers, setCookie } = await scene.visitor(app, call === 'save' ? cookie : null).get('/')
          assert.deepEqual([status, body.code], [503, 'FST_SESSION_STORE_UNAVAILABLE'])
          texts.add(text)
          assert.equal(headers.location, undefined)
          assert.deepEqual(setCookie, [])
          assert.equal(headers['cache-control'], 'no-store')
          assert.match(String(headers['retry-after']), /^[1-9]\d*$/)
          assert.equal(scene.store.times(call), 1)
          for (const secret of ['ENOSPC', 'ECONNREFUSED', 'secret', keyOf(cookie), cookie]) assert.ok(!JSON.stringify([text, headers]).includes(secret), secret)
          assert.ok(scene.log.text.includes(message.slice(0, 20)), 'the operator learns what happened')
          for (const secret of ['value-of-the-secret', cookie]) assert.ok(!scene.log.text.includes(secret), 'the log has no ids and no values')
        }
        assert.equal(texts.size, 1, 'the text is fixed')
        scene.store.before = () => {}
        assert.deepEqual(await scene.dataOf(cookie), { n: 0 })
        assert.deepEqual((await visitor.post('/increment')).body, { n: 1 })
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
    }),

    httpCase('S8 a stream is not begun when the save fails, and it is destroyed', async (scene) => {
      const app = await scene.app()
      const stream = new Readable({ read () { this.push('body of the stream') } })
      app.get('/', IMPLICIT, async ({ session }, reply) => {
        session.set('n', 5)
        return await reply.send(stream)
      })
      await listen(app)
      const visitor = await scene.known(app)
      breakDown(scene, WAYS.rejects, ['save'])
      const { status, text } = await visitor.open('/').answer
      assert.equal(status, 503)
      assert.ok(!text.includes('body of the stream'))
      await until('the stream to be destroyed', () => stream.destroyed)
    }),

    httpCase('S8 the status that the handler has set does not stay', async (scene) => {
      const app = await scene.app()
      app.get('/', IMPLICIT, async ({ session }, reply) => {
        session.set('n', 5)
        return await reply.code(201).send({ created: true })
      })
      const visitor = await scene.known(app)
      breakDown(scene, WAYS.throws, ['save'])
      const { status, body } = await visitor.get('/')
      assert.equal(status, 503)
      assert.equal(body.created, undefined)
    }),

    httpCase('S8 ids are in no line of the log, whatever happens', async (scene) => {
      const app = await scene.app({ lockTimeout: 20, maxHold: 50, maxWaiters: 1 })
      const gate = scene.gate()
      app.get('/slow', IMPLICIT, async ({ session }) => {
        await gate.opened
        session.set('n', 5)
      })
      app.get('/logs', IMPLICIT, async (request) => {
        request.log.info({ session: request.session }, 'the session')
        request.log.info(request.session.toString())
      })
      const visitor = await scene.known(app, { secret: 'value-of-the-secret' })
      const first = visitor.cookie!
      const slow = visitor.get('/slow')
      await Promise.all([visitor.post('/increment'), visitor.post('/increment'), visitor.post('/increment')])
      await until('the overtaking', () => app.sessions.stats().locks.overtaken === 1)
      await visitor.post('/increment')
      gate.open()
      await slow
      await visitor.get('/logs')
      await visitor.post('/regenerate', { keep: true })
      const second = visitor.cookie!
      await visitor.at(app).get('/data')
      breakDown(scene, WAYS.throws, ['save', 'acquire', 'read', 'destroy'])
      for (const url of ['/increment', '/logout', '/regenerate', '/section']) await scene.visitor(app, second).post(url)
      scene.store.before = () => {}
      scene.clock.advance(2 * HOUR)
      await visitor.post('/increment')
      assert.ok(scene.log.text.length > 1000)
      for (const id of [first, second, visitor.cookie!]) assert.ok(!scene.log.text.includes(id))
    })
  ]
}
