// I6 and I7: the cookie that is sent, the one that may not be sent, and the headers that go with it.
import assert from 'node:assert/strict'
import { code } from '../store/store-scene.js'
import type { ConformanceCase, ConformanceOptions } from '../options.js'
import { listen } from './client.js'
import { EXPLICIT, IMPLICIT, MODES } from './routes.js'
import { HOUR, httpCases, MINUTE } from './scene.js'

const HTTPS = { 'x-forwarded-proto': 'https' }

export function cookieCases (options: ConformanceOptions): ConformanceCase[] {
  const httpCase = httpCases(options)
  return [
    httpCase('I6 with secure: true on plain http nothing is stored or sent, and the log has one error with the reason', async (scene) => {
      const app = await scene.app({ cookie: { secure: true } })
      for (let i = 0; i < 3; i++) {
        for (const url of ['/increment', '/section']) {
          const { status, setCookie } = await scene.visitor(app).post(url)
          assert.equal(status, 200)
          assert.deepEqual(setCookie, [])
        }
      }
      assert.equal(scene.store.times('create'), 0)
      assert.equal(scene.log.from('error').length, 1)
      assert.match(scene.log.from('error')[0]!, /trustProxy/)
      assert.match(scene.log.from('error')[0]!, /"cookie":"sessionId"/)
    }),

    httpCase('I6 with secure: true a session of https can be used on plain http, but its cookie is not sent again', async (scene) => {
      const app = await scene.app({ cookie: { secure: true } }, { trustProxy: true })
      const visitor = scene.visitor(app)
      const { setCookie } = await visitor.send('/increment', { method: 'POST', body: {}, headers: HTTPS })
      assert.match(setCookie[0]!, /;\s*Secure/)
      scene.clock.advance(10 * MINUTE)
      const plain = await visitor.post('/increment')
      assert.deepEqual(plain.body, { n: 2 })
      assert.deepEqual(plain.setCookie, [])
      assert.equal(scene.log.from('error').length, 1)
    }),

    httpCase('I6 secure: auto follows the protocol, and believes a proxy only with trustProxy', async (scene) => {
      for (const [trustProxy, headers, isSecure] of [[true, HTTPS, true], [true, {}, false], [false, HTTPS, false]] as const) {
        const app = await scene.app({}, { trustProxy })
        const { setCookie } = await scene.visitor(app).send('/increment', { method: 'POST', body: {}, headers: { ...headers } })
        assert.equal(setCookie.length, 1)
        assert.equal(/;\s*Secure/.test(setCookie[0]!), isSecure)
      }
      assert.equal(scene.log.from('error').length, 0)
    }),

    httpCase('I7 the cookie is HttpOnly, SameSite=Lax, for the whole site and without a domain', async (scene) => {
      const app = await scene.app()
      const { setCookie } = await scene.visitor(app).post('/increment')
      const [, ...attributes] = setCookie[0]!.split(/;\s*/)
      assert.deepEqual(attributes.sort(), ['HttpOnly', 'Max-Age=3600', 'Path=/', 'SameSite=Lax'])
    }),

    httpCase('I7 it is cleared with the attributes with which it was set', async (scene) => {
      const app = await scene.app({ cookie: { path: '/app', domain: 'example.org', secure: true, sameSite: 'none', partitioned: true, priority: 'high' } }, { trustProxy: true })
      const visitor = scene.visitor(app)
      const attributes = ([line]: string[]) => line!.split(/;\s*/).slice(1).filter(name => !/^(Max-Age|Expires)=/.test(name)).sort()
      const set = await visitor.send('/increment', { method: 'POST', body: {}, headers: HTTPS })
      assert.deepEqual(attributes(set.setCookie), ['Domain=example.org', 'HttpOnly', 'Partitioned', 'Path=/app', 'Priority=High', 'SameSite=None', 'Secure'])
      const cleared = await visitor.send('/logout', { method: 'POST', body: {}, headers: HTTPS })
      assert.deepEqual(attributes(cleared.setCookie), attributes(set.setCookie))
      assert.match(cleared.setCookie[0]!, /^sessionId=;/)
      assert.match(cleared.setCookie[0]!, /Max-Age=0/)
      assert.match(cleared.setCookie[0]!, /Expires=Thu, 01 Jan 1970/)
    }),

    httpCase('I7 one Set-Cookie of ours at most, beside those of the handler', async (scene) => {
      const app = await scene.app()
      app.get('/many', IMPLICIT, async ({ session }, reply) => {
        reply.setCookie('before', '1')
        session.set('n', 1)
        await session.save()
        session.set('n', 2)
        await session.save()
        await session.regenerate(true)
        session.touch()
        reply.header('set-cookie', 'raw=1')
        session.set('n', 3)
        reply.setCookie('after', '1')
        return 'done'
      })
      const visitor = scene.visitor(app)
      const { setCookie, headers } = await visitor.get('/many')
      assert.equal(setCookie.length, 1)
      assert.deepEqual(headers['set-cookie']!.map(line => line.split('=')[0]).sort(), ['after', 'before', 'raw', 'sessionId'])
      assert.deepEqual(await scene.dataOf(visitor.cookie), { n: 3 })
    }),

    httpCase('I7 one Set-Cookie of ours when the reply is sent twice or a later onSend hook fails', async (scene) => {
      const app = await scene.app()
      let failed = 0
      app.addHook('onSend', async (request) => {
        if (request.url === '/fails' && failed++ === 0) throw new Error('once')
      })
      app.get('/fails', IMPLICIT, async ({ session }) => session.set('n', 1).data())
      app.get('/twice', IMPLICIT, async ({ session }, reply) => {
        session.set('n', 1)
        reply.send('one')
        return 'two'
      })
      await listen(app)
      for (const [url, status] of [['/fails', 500], ['/twice', 200]] as const) {
        const visitor = scene.visitor(app)
        const answer = await visitor.open(url).answer
        assert.equal(answer.status, status)
        assert.equal(answer.setCookie.length, 1)
        assert.ok(await scene.record(visitor.cookie) !== null)
      }
    }),

    httpCase('I7 a reply with the cookie is not to be cached, whatever the handler said; without it the handler decides', async (scene) => {
      const app = await scene.app()
      app.get('/set', IMPLICIT, async ({ session }, reply) => {
        session.set('n', 1)
        return await reply.header('cache-control', 'public, max-age=3600').send('set')
      })
      app.get('/destroy', IMPLICIT, async ({ session }, reply) => {
        await session.destroy()
        return await reply.header('cache-control', 'public').send('destroyed')
      })
      app.get('/read', IMPLICIT, async ({ session }, reply) => await reply.header('cache-control', 'private').send({ n: session.get('n') }))
      const visitor = scene.visitor(app)
      assert.equal((await visitor.get('/set')).headers['cache-control'], 'no-store')
      assert.equal((await visitor.get('/read')).headers['cache-control'], 'private')
      assert.equal((await visitor.get('/destroy')).headers['cache-control'], 'no-store')
      assert.equal((await visitor.get('/read')).headers['cache-control'], 'private')
    }),

    httpCase('I7 a reply for which the session was read varies by the cookie; one for which it was not does not', async (scene) => {
      const app = await scene.app()
      for (const mode of ['implicit', 'explicit', 'readonly'] as const) {
        app.get(`/${mode}/reads`, MODES[mode], async ({ session }) => session.get('n', 0))
        app.get(`/${mode}/nothing`, MODES[mode], async () => 'nothing')
      }
      for (const visitor of [scene.visitor(app), await scene.known(app)]) {
        for (const mode of ['implicit', 'explicit', 'readonly']) {
          assert.equal((await visitor.get(`/${mode}/reads`)).headers.vary, 'Cookie')
          assert.equal((await visitor.get(`/${mode}/nothing`)).headers.vary, undefined)
        }
        assert.equal((await visitor.post('/section')).headers.vary, 'Cookie')
      }
    }),

    httpCase('I7 Vary is merged with what the handler set', async (scene) => {
      const app = await scene.app()
      app.get('/', EXPLICIT, async ({ session, query }, reply) => {
        session.get('n')
        return await reply.header('vary', (query as { vary: string }).vary).send('done')
      })
      const visitor = scene.visitor(app)
      for (const [given, expected] of [['Accept-Encoding', 'Accept-Encoding, Cookie'], ['cookie', 'cookie'], ['Origin, COOKIE', 'Origin, COOKIE'], ['*', '*'], ['Set-Cookie', 'Set-Cookie, Cookie']]) {
        assert.equal((await visitor.get(`/?vary=${encodeURIComponent(given!)}`)).headers.vary, expected)
      }
    }),

    httpCase('I7 with cacheHeaders: false neither header is set', async (scene) => {
      const app = await scene.app({ cacheHeaders: false })
      const visitor = scene.visitor(app)
      const { headers, setCookie } = await visitor.post('/increment')
      assert.equal(setCookie.length, 1)
      assert.deepEqual([headers['cache-control'], headers.vary], [undefined, undefined])
      assert.equal((await visitor.get('/data')).headers.vary, undefined)
    }),

    httpCase('I7 cookies that a browser would drop are refused at register', async (scene) => {
      const invalid = code('FST_SESSION_INVALID_OPTION')
      await assert.rejects(scene.app({ cookieName: '__Host-id' }), invalid)
      await assert.rejects(scene.app({ cookieName: '__Host-id', cookie: { secure: true, domain: 'example.org' } }), invalid)
      await assert.rejects(scene.app({ cookieName: '__Host-id', cookie: { secure: true, path: '/app' } }), invalid)
      await assert.rejects(scene.app({ cookieName: '__secure-id', cookie: { secure: false } }), invalid)
      await assert.rejects(scene.app({ cookie: { sameSite: 'none' } }), invalid)
      await assert.rejects(scene.app({ cookie: { partitioned: true } }), invalid)
      await assert.rejects(scene.app({ idleTimeout: 401 * 24 * HOUR, absoluteTimeout: 500 * 24 * HOUR }), invalid)
      await scene.app({ cookieName: '__Host-id', cookie: { secure: true } })
      await scene.app({ idleTimeout: 401 * 24 * HOUR, absoluteTimeout: 400 * 24 * HOUR })
    })
  ]
}
