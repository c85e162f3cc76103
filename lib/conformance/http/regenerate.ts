// I3: a new id for the same visitor.
import assert from 'node:assert/strict'
import type { ConformanceCase, ConformanceOptions } from '../options.js'
import { sleep, until } from '../patience.js'
import { EXPLICIT, IMPLICIT, MODES } from './routes.js'
import { assertAllFree, HOUR, httpCases, type HttpScene, MINUTE, queued } from './scene.js'
import type { WatchedStore } from './watched-store.js'

export function regenerateCases (options: ConformanceOptions): ConformanceCase[] {
  const httpCase = httpCases(options)

  /** GET /hold?keep regenerates when the gate opens; the visitors wait for the session until then. */
  async function regenerating (scene: HttpScene, keep: true | string[] | undefined, elsewhere: boolean) {
    const app = await scene.app()
    const gate = scene.gate()
    app.get('/hold', IMPLICIT, async ({ session }) => {
      await gate.opened
      await session.regenerate(keep)
      session.set('regenerated', true)
    })
    const other = elsewhere ? await scene.twin() : app
    const visitor = await scene.known(app, { n: 10 })
    const old = visitor.cookie
    const holding = visitor.at(app)
    const held = holding.get('/hold')
    await queued(app, 0)
    const waiting = []
    for (let i = 0; i < 4; i++) {
      const one = visitor.at(other)
      waiting.push({ visitor: one, answer: one.post(i % 2 === 0 ? '/increment' : '/section') })
      await until('it to wait', () => other.sessions.stats().locks.waiting === i + 1)
    }
    // Whom a store of its own does not know yet when the session goes is a newcomer. And it knows only roughly when that was.
    if (other.sessions.store !== app.sessions.store) {
      await until('the store to know of them', () => (other.sessions.store as WatchedStore).busy > 0)
      await sleep(100)
    }
    gate.open()
    await held
    return { app, old, fresh: holding.cookie, waiting, newcomer: scene.visitor(app, old) }
  }

  return [
    ...(['implicit', 'explicit'] as const).flatMap(mode => ([undefined, ['b', 'nothing'], true] as const).map(keep => {
      const data = keep === undefined ? {} : keep === true ? { a: 1, b: { c: 2 } } : { b: { c: 2 } }
      return httpCase(`I3 ${mode}: regenerate(${keep === undefined ? '' : keep === true ? 'true' : '[…]'}) gives a new id and keeps what it should, without anything having been read first`, async (scene) => {
        const app = await scene.app()
        app.get('/', MODES[mode], async (request) => {
          await request.session.regenerate(keep === undefined ? undefined : keep === true ? true : [...keep])
          const { session } = request
          const id = session.id
          if (mode === 'implicit') session.set('late', 1)
          else await request.withSessionLock(() => { session.set('late', 1) })
          return { id, data: session.data(), user: session.user }
        })
        app.post('/user', IMPLICIT, async ({ session }) => { session.setUser('ann') })
        const visitor = await scene.known(app, { a: 1, b: { c: 2 } })
        await visitor.post('/user')
        const old = visitor.cookie
        const { body, setCookie } = await visitor.get('/')
        assert.equal(setCookie.length, 1)
        assert.notEqual(visitor.cookie, old)
        assert.equal(await scene.record(old), null)
        const user = keep === true ? 'ann' : null
        assert.deepEqual([body.data, body.user], [{ ...data, late: 1 }, user])
        assert.deepEqual(await scene.dataOf(visitor.cookie), { ...data, late: 1 })
        assert.equal((await scene.record(visitor.cookie))?.user, user)
        assert.equal((await scene.visitor(app, old).get('/data')).body.isNew, true)
        await assertAllFree(scene, app)
      })
    })),

    ...[false, true].flatMap(elsewhere => {
      const where = elsewhere ? 'in another application' : 'in the same application'
      return [
        httpCase(`I3 requests that wait ${where} follow the session after regenerate(true)`, async (scene) => {
          const { app, old, fresh, waiting, newcomer } = await regenerating(scene, true, elsewhere)
          const answers = await Promise.all(waiting.map(({ answer }) => answer))
          assert.deepEqual(answers.map(({ status, body }) => [status, body.n]), [[200, 11], [200, 12], [200, 13], [200, 14]])
          // They do not know the new id, so they cannot send it.
          for (const { setCookie } of answers) assert.deepEqual(setCookie, [])
          assert.deepEqual(await scene.dataOf(fresh), { n: 14, regenerated: true })
          assert.equal(await scene.record(old), null)
          assert.equal((await newcomer.get('/data')).body.isNew, true)
          if (options.listing !== false) assert.equal(await app.sessions.count(), 1)
          await assertAllFree(scene, app)
        }),

        ...([undefined, ['n']] as const).map(keep => httpCase(`I3 requests that wait ${where} get FST_SESSION_CONFLICT after regenerate(${keep === undefined ? '' : '[…]'})`, async (scene) => {
          const { app, old, fresh, waiting, newcomer } = await regenerating(scene, keep === undefined ? undefined : [...keep], elsewhere)
          for (const { visitor, answer } of waiting) {
            const { status, body, setCookie } = await answer
            assert.deepEqual([status, body.code], [409, 'FST_SESSION_CONFLICT'])
            assert.deepEqual(setCookie, [])
            assert.equal(visitor.cookie, old)
          }
          assert.deepEqual(await scene.dataOf(fresh), keep === undefined ? { regenerated: true } : { n: 10, regenerated: true })
          assert.equal(await scene.record(old), null)
          assert.equal((await newcomer.get('/data')).body.isNew, true)
          if (options.listing !== false) assert.equal(await app.sessions.count(), 1)
          await assertAllFree(scene, app)
        }))
      ]
    }),

    httpCase('I3 a newcomer with the old id does not follow, even while others do', async (scene) => {
      const app = await scene.app()
      const gate = scene.gate()
      const regenerated = scene.gate()
      app.get('/hold', IMPLICIT, async ({ session }) => {
        await session.regenerate(true)
        regenerated.open()
        await gate.opened
        return 'held'
      })
      const visitor = await scene.known(app)
      const newcomer = visitor.at(app)
      const held = visitor.get('/hold')
      await regenerated.opened
      assert.equal(await scene.record(newcomer.cookie), null, 'the old id is dead before the reply is sent')
      assert.deepEqual((await newcomer.post('/increment')).body, { n: 1 })
      gate.open()
      await held
      assert.deepEqual(await scene.dataOf(visitor.cookie), { n: 0 })
      assert.notEqual(newcomer.cookie, visitor.cookie)
    }),

    ...(options.secondConnection === undefined
      ? []
      : [
          httpCase('I3 a newcomer who queues up in another application behind one that follows does not follow, if the store knows when the session moved', async (scene) => {
            const app = await scene.app()
            const twin = await scene.twin()
            const store = twin.sessions.store as WatchedStore
            const gate = scene.gate()
            const late = scene.gate()
            app.get('/hold', IMPLICIT, async ({ session }) => {
              await gate.opened
              await session.regenerate(true)
            })
            const visitor = await scene.known(app, { n: 10 })
            const [waiter, newcomer] = [visitor.at(twin), visitor.at(twin)]
            const held = visitor.get('/hold')
            await queued(app, 0)
            const following = waiter.post('/increment')
            await until('it to be told to wait', () => store.busy > 0)
            store.before = (call) => call === 'acquire' ? late.opened : undefined
            gate.open()
            await held
            const coming = newcomer.post('/increment')
            await until('it to wait', () => twin.sessions.stats().locks.waiting === 2)
            late.open()
            assert.deepEqual((await following).body, { n: 11 })
            const { body } = await coming
            if (store.moved[0]?.movedAt === undefined) return
            assert.deepEqual(body, { n: 1 })
            assert.deepEqual(await scene.dataOf(visitor.cookie), { n: 11 })
          })
        ]),

    httpCase('I3 regenerate() may be called twice, and on a first visit', async (scene) => {
      const app = await scene.app()
      app.get('/twice', IMPLICIT, async ({ session }) => {
        await session.regenerate(true)
        const middle = session.id
        await session.regenerate(true)
        return middle
      })
      app.get('/first', IMPLICIT, async ({ session }) => {
        session.set('n', 1)
        await session.regenerate(true)
        return session.id
      })
      const visitor = await scene.known(app, { n: 5 })
      const { text: middle, setCookie } = await visitor.get('/twice')
      assert.equal(setCookie.length, 1)
      assert.equal(await scene.record(middle), null)
      assert.deepEqual(await scene.dataOf(visitor.cookie), { n: 5 })
      const other = scene.visitor(app)
      assert.equal((await other.get('/first')).text, other.cookie)
      assert.deepEqual(await scene.dataOf(other.cookie), { n: 1 })
      await assertAllFree(scene, app)
    }),

    httpCase('I3 regenerate() in a section: the rest of the section writes to the new session', async (scene) => {
      const app = await scene.app()
      app.get('/', EXPLICIT, async (request) => await request.withSessionLock(async (session) => {
        session.set('before', 1)
        await session.regenerate(true)
        session.set('after', 1)
      }))
      const visitor = await scene.known(app)
      const old = visitor.cookie
      await visitor.get('/')
      assert.deepEqual(await scene.dataOf(visitor.cookie), { n: 0, before: 1, after: 1 })
      assert.equal(await scene.record(old), null)
      await assertAllFree(scene, app)
    }),

    httpCase('I3 I4 a regenerated session begins anew: its absolute timeout counts from the regeneration', async (scene) => {
      const app = await scene.app({ idleTimeout: 10 * HOUR, absoluteTimeout: 2 * HOUR })
      const visitor = await scene.known(app)
      scene.clock.advance(HOUR + 30 * MINUTE)
      await visitor.post('/regenerate', { keep: true })
      const record = (await scene.record(visitor.cookie))!
      assert.equal(record.createdAt, scene.clock.now())
      assert.equal(record.expiresAt, scene.clock.now() + 2 * HOUR)
    }),

    httpCase('I3 regenerate() empty without a new value: the visitor has no session and no cookie any more', async (scene) => {
      const app = await scene.app()
      const visitor = await scene.known(app)
      const old = visitor.cookie
      const { setCookie } = await visitor.post('/regenerate')
      assert.equal(setCookie.length, 1)
      assert.equal(visitor.cookie, null)
      assert.equal(await scene.record(old), null)
      if (options.listing !== false) assert.equal(await app.sessions.count(), 0)
    }),

    httpCase('I3 a request that fails after regenerate() still gives the visitor the new id', async (scene) => {
      const app = await scene.app()
      app.get('/', IMPLICIT, async ({ session }) => {
        await session.regenerate(true)
        session.set('dropped', 1)
        throw new Error('broken')
      })
      const visitor = await scene.known(app, { n: 5 })
      const old = visitor.cookie
      assert.equal((await visitor.get('/')).status, 500)
      assert.notEqual(visitor.cookie, old)
      assert.deepEqual(await scene.dataOf(visitor.cookie), { n: 5 })
      await assertAllFree(scene, app)
    })
  ]
}
