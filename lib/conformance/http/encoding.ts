// S5 and I8: data that cannot be stored, hostile keys, and limits.
import assert from 'node:assert/strict'
import type { Session } from '../../session/session.js'
import type { ConformanceCase, ConformanceOptions } from '../options.js'
import { code } from '../store/store-scene.js'
import { EXPLICIT, IMPLICIT, MODES } from './routes.js'
import { assertAllFree, HOUR, httpCases, type HttpScene, keyOf, unknownId } from './scene.js'

const UNSTORABLE: Record<string, () => unknown> = {
  'a BigInt': () => 10n,
  'a BigInt deep inside': () => ({ a: [{ b: 10n }] }),
  'an object that holds itself': () => {
    const self: Record<string, unknown> = { secret: 'value-of-the-secret' }
    self.self = self
    return self
  },
  'a function': () => () => 'x',
  'a symbol': () => Symbol('x'),
  'a Map': () => new Map([[1, 2]]),
  'a Set': () => new Set([1]),
  'a getter that throws': () => ({ get secret () { throw new Error('value-of-the-secret') } }),
  'a toJSON() that throws': () => ({ toJSON () { throw new TypeError('value-of-the-secret') } }),
  'a revoked proxy': () => {
    const { proxy, revoke } = Proxy.revocable({}, {})
    revoke()
    return proxy
  },
  // Node.js 26 stores it.
  ...!isStorable(abyss()) && { 'an abyss': abyss }
}

const HOSTILE_KEYS = ['__proto__', 'constructor', 'prototype', 'hasOwnProperty', 'toString', 'toJSON', 'then', 'valueOf', '__defineGetter__', 'get', 'id', '0', '', ' ', '\u0000', '𝔘nicode']

function abyss (): unknown {
  let deep: unknown = []
  for (let i = 0; i < 20_000; i++) deep = [deep]
  return deep
}

function isStorable (value: unknown): boolean {
  try {
    JSON.stringify(value)
    return true
  } catch {
    return false
  }
}

export function encodingCases (options: ConformanceOptions): ConformanceCase[] {
  const httpCase = httpCases(options)
  return [
    ...Object.entries(UNSTORABLE).map(([name, make]) => httpCase(`S5 ${name} fails the request with FST_SESSION_NOT_SERIALIZABLE naming the key; what was stored stays`, async (scene) => {
      const app = await scene.app()
      const keys: unknown[] = []
      app.addHook('onError', async (_request, _reply, error) => { keys.push((error as { key?: unknown }).key) })
      app.get('/', IMPLICIT, async ({ session }, reply) => {
        session.set('fine', 1).set('culprit', make()).set('fine too', 2)
        return reply.redirect('/done')
      })
      const visitor = await scene.known(app)
      for (const one of [visitor, scene.visitor(app)]) {
        const { status, body, text, headers, setCookie } = await one.get('/')
        assert.deepEqual([status, body.code], [500, 'FST_SESSION_NOT_SERIALIZABLE'])
        assert.ok(text.includes('culprit'))
        assert.ok(!text.includes('value-of-the-secret'))
        assert.equal(headers.location, undefined)
        assert.deepEqual(setCookie, [])
      }
      assert.deepEqual(keys, ['culprit', 'culprit'])
      assert.equal(scene.store.times('create'), 1)
      assert.deepEqual(await scene.dataOf(visitor.cookie), { n: 0 })
      assert.deepEqual((await visitor.post('/increment')).body, { n: 1 })
      await assertAllFree(scene, app)
    })),

    httpCase('S5 in a section it is withSessionLock() that rejects, and the request may go on', async (scene) => {
      const app = await scene.app()
      app.get('/', EXPLICIT, async (request) => {
        const { code, key } = await request.withSessionLock((session) => { session.set('culprit', 10n) }).then(() => ({ code: 'saved', key: '' }), (error: { code: string, key: string }) => error)
        await request.withSessionLock((session) => { session.set('n', 5) })
        return { code, key }
      })
      const visitor = await scene.known(app)
      assert.deepEqual((await visitor.get('/')).body, { code: 'FST_SESSION_NOT_SERIALIZABLE', key: 'culprit' })
      assert.deepEqual(await scene.dataOf(visitor.cookie), { n: 5 })
      await assertAllFree(scene, app)
    }),

    httpCase('I8 hostile keys are plain data, for every method', async (scene) => {
      const app = await scene.app()
      app.get('/empty', IMPLICIT, async ({ session }) => HOSTILE_KEYS.map(key => [session.get(key), session.has(key), session.delete(key), session.pop(key)]))
      app.get('/set', IMPLICIT, async ({ session }) => {
        for (const key of HOSTILE_KEYS) session.set(key, { isAdmin: key })
      })
      app.get('/get', IMPLICIT, async ({ session }) => {
        assert.deepEqual([...session.keys()].sort(), [...HOSTILE_KEYS].sort())
        assert.equal(session.size, HOSTILE_KEYS.length)
        for (const key of HOSTILE_KEYS) {
          assert.deepEqual(session.get(key), { isAdmin: key })
          assert.ok(Object.hasOwn(session.data(), key))
        }
        assert.equal(session.get('isAdmin'), undefined)
        return 'as they were'
      })
      app.get('/delete', IMPLICIT, async ({ session }) => HOSTILE_KEYS.map(key => session.delete(key)))
      const visitor = await scene.known(app, { n: 1 })
      const nothing = [null, false, false, null]
      assert.deepEqual((await visitor.get('/empty')).body, HOSTILE_KEYS.map(() => nothing))
      await app.sessions.with(visitor.cookie!, session => session.clear())
      await visitor.get('/set')
      const { text } = await visitor.get('/get')
      assert.equal(text, 'as they were')
      assert.equal(({} as { isAdmin?: unknown }).isAdmin, undefined)
      const snapshot = await app.sessions.get(visitor.cookie!)
      assert.deepEqual(Object.keys(snapshot!.data()).sort(), [...HOSTILE_KEYS].sort())
      assert.deepEqual((await visitor.get('/delete')).body, HOSTILE_KEYS.map(() => true))
      assert.deepEqual(await scene.dataOf(visitor.cookie), {})
    }),

    httpCase('I8 a hostile body passed to update() pollutes nothing', async (scene) => {
      const app = await scene.app()
      app.get('/', IMPLICIT, async ({ session }) => {
        session.update(JSON.parse('{"__proto__":{"isAdmin":true},"constructor":{"prototype":{"isAdmin":true}}}'))
        return [session.get('isAdmin'), session.has('isAdmin'), (session as { isAdmin?: unknown }).isAdmin, ({} as { isAdmin?: unknown }).isAdmin]
      })
      app.get('/again', IMPLICIT, async ({ session }) => [session.get('isAdmin'), session.get('__proto__').isAdmin, ({} as { isAdmin?: unknown }).isAdmin])
      const visitor = await scene.known(app)
      assert.deepEqual((await visitor.get('/')).body, [null, false, null, null])
      assert.deepEqual((await visitor.get('/again')).body, [null, true, null])
    }),

    httpCase('I8 a record that holds __proto__ as a key is read as data', async (scene) => {
      const { app, cookie } = await planted(scene, '{"__proto__":{"isAdmin":true},"n":1}')
      const visitor = scene.visitor(app, cookie)
      app.get('/', IMPLICIT, async ({ session }) => {
        session.set('n', 2)
        return [session.get('isAdmin'), session.get('n'), [...session.keys()]]
      })
      assert.deepEqual((await visitor.get('/')).body, [null, 2, ['__proto__', 'n']])
      assert.equal(String((await scene.record(cookie))?.data), '{"__proto__":{"isAdmin":true},"n":2}')
    }),

    httpCase('I8 a session that has become larger than maxRecordSize is refused with FST_SESSION_TOO_LARGE; what was stored stays', async (scene) => {
      const app = await scene.app({ maxRecordSize: 1000 })
      const fill = (session: Session, bytes: number) => session.set('text', 'x'.repeat(bytes - '{"n":0,"text":""}'.length))
      app.get('/fits', IMPLICIT, async ({ session }) => { fill(session, 1000) })
      app.get('/large', IMPLICIT, async ({ session }) => { fill(session, 1001) })
      app.get('/wide', IMPLICIT, async ({ session }) => { session.set('text', 'é'.repeat(600)) })
      app.get('/section', EXPLICIT, async (request) => await request.withSessionLock((session) => { fill(session, 1001) }))
      app.get('/new', IMPLICIT, async ({ session }) => { session.set('text', 'x'.repeat(1001)) })
      const visitor = await scene.known(app)
      for (const url of ['/large', '/wide', '/section']) {
        const { status, body } = await visitor.get(url)
        assert.deepEqual([status, body.code], [500, 'FST_SESSION_TOO_LARGE'], url)
        assert.deepEqual(await scene.dataOf(visitor.cookie), { n: 0 })
      }
      const { body, setCookie } = await scene.visitor(app).get('/new')
      assert.equal(body.code, 'FST_SESSION_TOO_LARGE')
      assert.deepEqual(setCookie, [])
      assert.equal((await visitor.get('/fits')).status, 200)
      assert.equal(Buffer.byteLength((await scene.record(visitor.cookie))!.data as string), 1000)
      await assertAllFree(scene, app)
    }),

    httpCase('I8 a record that is larger than maxRecordSize is refused with FST_SESSION_TOO_LARGE, in every mode', async (scene) => {
      const { app, cookie } = await planted(scene, JSON.stringify({ text: 'x'.repeat(300_000) }), 1000)
      let ran = false
      for (const mode of ['implicit', 'explicit', 'readonly'] as const) {
        app.get(`/${mode}`, MODES[mode], async () => { ran = true })
      }
      const visitor = scene.visitor(app, cookie)
      for (const mode of ['implicit', 'explicit', 'readonly']) {
        const { status, body } = await visitor.get(`/${mode}`)
        assert.deepEqual([status, body.code], [500, 'FST_SESSION_TOO_LARGE'], mode)
      }
      assert.equal(ran, false)
      await assert.rejects(app.sessions.with(cookie, () => {}), code('FST_SESSION_TOO_LARGE'))
      await assertAllFree(scene, app)
    }),

    httpCase('I8 an id of 256 characters is one, a longer one is not', async (scene) => {
      let length = 256
      const app = await scene.app({ generateId: () => unknownId().repeat(9).slice(0, length) })
      const visitor = await scene.known(app)
      assert.equal(visitor.cookie!.length, 256)
      assert.deepEqual((await visitor.post('/increment')).body, { n: 1 })
      length = 257
      const { status, body } = await scene.visitor(app).post('/increment')
      assert.deepEqual([status, body.code], [500, 'FST_SESSION_INVALID_ID'])
      assert.equal(scene.store.times('create'), 1)
    })
  ]
}

/** A session whose data were stored by somebody else. */
export async function planted (scene: HttpScene, data: string | Uint8Array, maxRecordSize = 1024 * 1024) {
  const app = await scene.app({ maxRecordSize })
  const cookie = unknownId()
  const now = scene.clock.now()
  await scene.store.inner.create(keyOf(cookie), { data, createdAt: now, lastAccessedAt: now, expiresAt: now + HOUR, user: null })
  return { app, cookie }
}
