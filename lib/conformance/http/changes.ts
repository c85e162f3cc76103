// S3: what has changed is saved, and nothing is written when nothing has.
import assert from 'node:assert/strict'
import type { Session } from '../../session/session.js'
import type { ConformanceCase, ConformanceOptions } from '../options.js'
import { EXPLICIT, IMPLICIT, MODES } from './routes.js'
import { assertAllFree, HOUR, httpCases, type HttpScene, MINUTE, queued } from './scene.js'

/** Handlers that leave the data as they are. */
const NO_CHANGES: Record<string, (session: Session) => unknown> = {
  'nothing at all': () => {},
  reads: (session) => [session.get('n'), session.data(), [...session], session.has('x'), session.size],
  'reads nested values': (session) => session.get('list').map((item: unknown) => item),
  'sets a value to what it is': (session) => session.set('n', 1),
  'sets an equal object': (session) => session.set('list', [1, { a: 1 }]),
  'changes and changes back': (session) => {
    session.set('n', 2).set('x', 1)
    session.get('list').push(3)
    session.delete('x')
    session.get('list').pop()
    session.set('n', 1)
  },
  'changes and reverts': (session) => {
    session.set('n', 2)
    session.setUser('ann')
    session.get('list').push(3)
    session.revert()
  },
  'deletes what is not there': (session) => session.delete('x'),
  'sets the user to what it is': (session) => session.setUser(null),
  'sets a default for what is there': (session) => session.setDefault('n', 5)
}

/** Handlers that change them, and what is stored then. */
const CHANGES: Record<string, { change: (session: Session) => unknown, data: object, user?: string }> = {
  'set()': { change: (session) => session.set('n', 2), data: { n: 2, list: [1, { a: 1 }] } },
  'set() of undefined': { change: (session) => session.set('n', undefined), data: { list: [1, { a: 1 }] } },
  'delete()': { change: (session) => session.delete('n'), data: { list: [1, { a: 1 }] } },
  'pop()': { change: (session) => session.pop('list'), data: { n: 1 } },
  'setDefault()': { change: (session) => session.setDefault('x', 1), data: { n: 1, list: [1, { a: 1 }], x: 1 } },
  'update()': { change: (session) => session.update({ n: 3, y: null }), data: { n: 3, list: [1, { a: 1 }], y: null } },
  'clear()': { change: (session) => session.clear(), data: {} },
  'setUser()': { change: (session) => session.setUser('ann'), data: { n: 1, list: [1, { a: 1 }] }, user: 'ann' },
  'a push to a nested list': { change: (session) => session.get('list').push(2), data: { n: 1, list: [1, { a: 1 }, 2] } },
  'a change deep inside': { change: (session) => { session.get('list')[1].a = 2 }, data: { n: 1, list: [1, { a: 2 }] } },
  'a change to a value found by iteration': { change: (session) => { for (const [, value] of session) if (Array.isArray(value)) value.length = 0 }, data: { n: 1, list: [] } },
  'a change to an object that was set before': {
    change: (session) => {
      const late = { a: 1 }
      session.set('late', late)
      late.a = 2
    },
    data: { n: 1, list: [1, { a: 1 }], late: { a: 2 } }
  }
}

const DATA = { n: 1, list: [1, { a: 1 }] }

export function changeCases (options: ConformanceOptions): ConformanceCase[] {
  const httpCase = httpCases(options)

  /** One visit to a handler in a route of this mode; the counters of the store tell about it alone. */
  async function visit (scene: HttpScene, mode: keyof typeof MODES, handler: (session: Session) => unknown) {
    const app = await scene.app()
    app.get('/', MODES[mode], async (request) => {
      if (mode === 'explicit') await request.withSessionLock(handler)
      else handler(request.session)
      return 'done'
    })
    const visitor = await scene.known(app, DATA)
    scene.store.forget()
    const answer = await visitor.get('/')
    assert.equal(answer.status, 200, answer.text)
    await assertAllFree(scene, app)
    return { app, visitor, answer }
  }

  return [
    ...(['implicit', 'explicit'] as const).flatMap(mode => [
      ...Object.entries(NO_CHANGES).map(([name, handler]) => httpCase(`S3 ${mode}: ${name}: nothing is written`, async (scene) => {
        await visit(scene, mode, handler)
        assert.equal(scene.store.times('save') + scene.store.times('touch') + scene.store.times('create'), 0)
      })),

      ...Object.entries(CHANGES).map(([name, { change, data, user = null }]) => httpCase(`S3 ${mode}: ${name} is saved, in one write`, async (scene) => {
        const { visitor } = await visit(scene, mode, change)
        assert.equal(scene.store.times('save'), 1)
        assert.deepEqual(await scene.dataOf(visitor.cookie), data)
        assert.equal((await scene.record(visitor.cookie))?.user, user)
      }))
    ]),

    httpCase('S3 save() saves at once, and again only what has changed since', async (scene) => {
      const app = await scene.app()
      app.get('/', IMPLICIT, async ({ session }) => {
        session.set('n', 2)
        await session.save()
        const stored = await scene.dataOf(session.id)
        await session.save()
        session.get('list').push(5)
        await session.save()
        return { stored, saves: scene.store.times('save') }
      })
      const visitor = await scene.known(app, DATA)
      scene.store.forget()
      assert.deepEqual((await visitor.get('/')).body, { stored: { ...DATA, n: 2 }, saves: 2 })
      assert.equal(scene.store.times('save'), 2)
    }),

    httpCase('S3 what save() has saved stays when the request fails afterwards; what came later does not', async (scene) => {
      const app = await scene.app()
      app.get('/', IMPLICIT, async ({ session }) => {
        session.set('n', 2)
        await session.save()
        session.set('n', 3)
        throw new Error('broken')
      })
      const visitor = await scene.known(app)
      assert.equal((await visitor.get('/')).status, 500)
      assert.deepEqual(await scene.dataOf(visitor.cookie), { n: 2 })
    }),

    httpCase('S3 save() in an explicit route takes the lock itself and needs none to say that nothing has changed', async (scene) => {
      const app = await scene.app()
      app.get('/', EXPLICIT, async ({ session }) => {
        await session.save()
        return 'saved'
      })
      const visitor = await scene.known(app)
      assert.equal((await visitor.get('/')).status, 200)
      assert.equal(scene.store.times('save'), 0)
      await assertAllFree(scene, app)
    }),

    ...(['implicit', 'explicit', 'readonly'] as const).map(mode => httpCase(`S3 ${mode}: a visit alone moves the expiry, without rewriting data, and not more often than touchInterval`, async (scene) => {
      const app = await scene.app({ idleTimeout: HOUR, touchInterval: 5 * MINUTE })
      app.get('/', MODES[mode], async ({ session }) => session.get('n'))
      const visitor = await scene.known(app)
      const before = (await scene.record(visitor.cookie))!
      scene.store.forget()
      for (const [advance, touches] of [[5 * MINUTE - 1, 0], [1, 1], [1, 1], [5 * MINUTE - 2, 1], [1, 2]] as const) {
        scene.clock.advance(advance)
        await visitor.get('/')
        assert.equal(scene.store.times('touch'), touches)
      }
      assert.equal(scene.store.times('save'), 0)
      const after = (await scene.record(visitor.cookie))!
      assert.deepEqual({ ...after }, { ...before, lastAccessedAt: scene.clock.now(), expiresAt: scene.clock.now() + HOUR })
      await assertAllFree(scene, app)
    })),

    httpCase('S3 a visit while somebody holds the lock does not wait to move the expiry', async (scene) => {
      const app = await scene.app({ lockTimeout: Infinity })
      const gate = scene.gate()
      app.get('/hold', IMPLICIT, async () => {
        await gate.opened
        return 'held'
      })
      const visitor = await scene.known(app)
      scene.clock.advance(5 * MINUTE)
      const held = visitor.get('/hold')
      await queued(app, 0)
      assert.equal((await visitor.get('/data')).status, 200)
      gate.open()
      await held
      assert.equal((await scene.record(visitor.cookie))?.lastAccessedAt, scene.clock.now())
    }),

    httpCase('S3 with rolling: false a visit moves nothing and a save does; touch() does always', async (scene) => {
      const app = await scene.app({ idleTimeout: HOUR, rolling: false, touchInterval: 0 })
      app.get('/', IMPLICIT, async ({ session }) => session.get('n'))
      app.get('/touch', IMPLICIT, async ({ session }) => { session.touch() })
      const visitor = await scene.known(app)
      const created = scene.clock.now()
      scene.store.forget()
      scene.clock.advance(10 * MINUTE)
      await visitor.get('/')
      await visitor.get('/data')
      assert.equal((await scene.record(visitor.cookie))?.expiresAt, created + HOUR)
      assert.equal(scene.store.times('touch') + scene.store.times('save'), 0)
      await visitor.post('/increment')
      assert.equal((await scene.record(visitor.cookie))?.expiresAt, created + 10 * MINUTE + HOUR)
      scene.clock.advance(10 * MINUTE)
      await visitor.get('/touch')
      assert.equal((await scene.record(visitor.cookie))?.expiresAt, created + 20 * MINUTE + HOUR)
      assert.equal(scene.store.times('save'), 1)
    })
  ]
}
