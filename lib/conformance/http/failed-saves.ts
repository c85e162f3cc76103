// S8: what the client learns of a save that failed, and what it does not.
import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import type { ConformanceCase, ConformanceOptions } from '../options.js'
import { until } from '../patience.js'
import { breakDown, DRIVER_MESSAGES, WAYS } from './breakdown.js'
import { listen } from './client.js'
import { IMPLICIT } from './routes.js'
import { assertAllFree, HOUR, httpCases, keyOf } from './scene.js'

export function failedSaveCases (options: ConformanceOptions): ConformanceCase[] {
  const httpCase = httpCases(options)
  return [
    ...Object.entries(WAYS).flatMap(([way, fail]) => (['save', 'create'] as const).map(call => httpCase(`S8 a store that ${way} on ${call}: 503 with a fixed text, tried once, without location, cookie and details`, async (scene) => {
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
    }))),

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

    ...['of Fastify', 'of the application'].map(whose => httpCase(`S8 the status and the session cookie that the handler has set do not stay, with the error handler ${whose}`, async (scene) => {
      const app = await scene.app()
      if (whose === 'of the application') app.setErrorHandler((error, _request, reply) => { reply.send({ own: true, code: (error as { code?: string }).code }) })
      app.get('/', IMPLICIT, async ({ session }, reply) => {
        session.set('n', 5)
        return await reply.code(201).header('set-cookie', ['sessionId=of-the-handler', 'other=1']).send({ created: true })
      })
      const visitor = await scene.known(app)
      breakDown(scene, WAYS.throws, ['save'])
      const { status, body, setCookie, headers } = await visitor.get('/')
      assert.deepEqual([status, body.code, body.created], [503, 'FST_SESSION_STORE_UNAVAILABLE', undefined])
      assert.deepEqual(setCookie, [])
      assert.deepEqual([headers['set-cookie']].flat(), ['other=1'])
    })),

    httpCase('S8 ids are in no line of the log, whatever happens', async (scene) => {
      const app = await scene.app({ lockTimeout: 20, maxHold: 50, maxWaiters: 1 })
      const [reached, gate] = [scene.gate(), scene.gate()]
      // A busy machine may need more than 20 ms for a free lock, too.
      app.get('/slow', { config: { session: { locking: 'implicit', lockTimeout: 10_000 } } }, async ({ session }) => {
        reached.open()
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
      await reached.opened
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
