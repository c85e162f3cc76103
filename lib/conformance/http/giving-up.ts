// L8: waiting has an end, and the error says what held the lock.
import assert from 'node:assert/strict'
import type { FastifyInstance } from 'fastify'
import type { LockTimeoutError } from '../../errors.js'
import type { ConformanceCase, ConformanceOptions } from '../options.js'
import { type Gate, sleep } from '../patience.js'
import type { Visitor } from './client.js'
import { IMPLICIT } from './routes.js'
import { assertAllFree, httpCases, type HttpScene, queued } from './scene.js'

export function givingUpCases (options: ConformanceOptions): ConformanceCase[] {
  const httpCase = httpCases(options)

  interface Scenery { app: FastifyInstance, visitor: Visitor, errors: LockTimeoutError[], ran: string[], held: Promise<unknown>, gate: Gate }

  /** A visitor whose lock is held by POST /hold/:what until the gate opens. */
  async function holding (scene: HttpScene, plugin: { maxWaiters?: number, lockTimeout?: number } = {}): Promise<Scenery> {
    const app = await scene.app(plugin)
    const gate = scene.gate()
    const errors: LockTimeoutError[] = []
    const ran: string[] = []
    app.addHook('onError', async (_request, _reply, error) => { errors.push(error as unknown as LockTimeoutError) })
    // Patient: on a busy machine a store may need longer for a free lock than the cases let others wait.
    app.post('/hold/:what', { config: { session: { locking: 'implicit', lockTimeout: 10_000 } } }, async () => {
      await gate.opened
      return 'held'
    })
    for (const lockTimeout of [0, 30, 100]) {
      app.get(`/wait/${lockTimeout}`, { config: { session: { locking: 'implicit', lockTimeout } } }, async ({ url }) => {
        ran.push(url)
        return 'ran'
      })
    }
    app.get('/section', { config: { session: { locking: 'explicit', lockTimeout: 30 } } }, async (request) => {
      return await request.withSessionLock(() => { ran.push(request.url) })
    })
    const visitor = await scene.known(app)
    const held = visitor.post('/hold/secret-of-the-url')
    await queued(app, 0)
    return { app, visitor, errors, ran, held, gate }
  }

  return [
    httpCase('L8 who waits longer than lockTimeout gets 503 with Retry-After, and its handler never runs', async (scene) => {
      const { app, visitor, errors, ran, held, gate } = await holding(scene)
      const { status, headers, body } = await visitor.get('/wait/30')
      assert.equal(status, 503)
      assert.match(String(headers['retry-after']), /^[1-9]\d*$/)
      assert.equal(body.code, 'FST_SESSION_LOCK_TIMEOUT')
      assert.ok(!body.message.includes('secret-of-the-url'))
      assert.equal(errors.length, 1)
      const { waited, place, holder } = errors[0]!
      assert.ok(waited >= 29, `waited ${waited}`)
      assert.equal(place, 1)
      const { heldFor, ...names } = holder!
      assert.deepEqual(names, { method: 'POST', route: '/hold/:what' })
      assert.ok(heldFor >= waited)
      gate.open()
      await held
      await assertAllFree(scene, app)
      assert.deepEqual(ran, [])
      assert.equal(app.sessions.stats().locks.timeouts, 1)
    }),

    httpCase('L8 the time to wait is the option lockTimeout, and withSessionLock() rejects with the same error', async (scene) => {
      const { app, visitor, ran, held, gate } = await holding(scene, { lockTimeout: 40 })
      for (const url of ['/increment', '/section']) {
        const { status, body, headers } = await visitor.post(url)
        assert.equal(status, 503)
        assert.equal(body.code, 'FST_SESSION_LOCK_TIMEOUT')
        assert.ok(headers['retry-after'] !== undefined)
      }
      assert.equal((await visitor.get('/section')).body.code, 'FST_SESSION_LOCK_TIMEOUT')
      gate.open()
      await held
      assert.deepEqual(ran, [])
      assert.deepEqual(await scene.dataOf(visitor.cookie), { n: 0 })
      await assertAllFree(scene, app)
    }),

    httpCase('L8 a section that waits in vain can be caught, and the request goes on without the lock', async (scene) => {
      const app = await scene.app()
      const gate = scene.gate()
      app.get('/hold', IMPLICIT, async () => {
        await gate.opened
        return 'held'
      })
      // Only here: the holder may take longer than that to get the lock from a store on a busy machine.
      app.get('/', { config: { session: { locking: 'explicit', lockTimeout: 30 } } }, async (request) => {
        let ran = false
        const code = await request.withSessionLock(() => { ran = true }).catch((error: { code: string }) => error.code)
        return { code, ran, locked: request.session.locked, n: request.session.get('n') }
      })
      const visitor = await scene.known(app)
      const held = visitor.get('/hold')
      await queued(app, 0)
      assert.deepEqual((await visitor.get('/')).body, { code: 'FST_SESSION_LOCK_TIMEOUT', ran: false, locked: false, n: 0 })
      gate.open()
      await held
      await assertAllFree(scene, app)
    }),

    httpCase('L8 the error says which place in the queue it had', async (scene) => {
      const { app, visitor, errors, held, gate } = await holding(scene)
      const patient = [visitor.post('/increment')]
      await queued(app, 1)
      patient.push(visitor.post('/increment'))
      await queued(app, 2)
      assert.equal((await visitor.get('/wait/30')).status, 503)
      assert.equal(errors[0]!.place, 3)
      gate.open()
      await held
      assert.deepEqual((await Promise.all(patient)).map(({ body }) => body.n), [1, 2])
    }),

    httpCase('L8 one with less patience behind one with more gives up first, and the other is served', async (scene) => {
      const { app, visitor, held, gate } = await holding(scene)
      const patient = visitor.post('/increment')
      await queued(app, 1)
      const [first, second] = await Promise.all([visitor.get('/wait/100'), visitor.get('/wait/30')])
      assert.deepEqual([first!.status, second!.status], [503, 503])
      gate.open()
      await held
      assert.deepEqual((await patient).body, { n: 1 })
      await assertAllFree(scene, app)
    }),

    httpCase('L8 a lockTimeout of 0 waits not at all, but takes a lock that is free', async (scene) => {
      const { app, visitor, ran, held, gate } = await holding(scene)
      assert.equal((await visitor.get('/wait/0')).body.code, 'FST_SESSION_LOCK_TIMEOUT')
      gate.open()
      await held
      assert.deepEqual(ran, [])
      await assertAllFree(scene, app)
      if (scene.store.isAsync) return // Then even a free lock takes its time.
      assert.equal((await visitor.get('/wait/0')).status, 200)
      assert.deepEqual(ran, ['/wait/0'])
    }),

    httpCase('L8 who comes when maxWaiters wait gets 429 with Retry-After at once', async (scene) => {
      const { app, visitor, errors, held, gate } = await holding(scene, { maxWaiters: 2, lockTimeout: Infinity })
      const waiting = [visitor.post('/increment'), visitor.post('/increment')]
      await queued(app, 2)
      const { status, headers, body } = await visitor.post('/increment')
      assert.equal(status, 429)
      assert.match(String(headers['retry-after']), /^[1-9]\d*$/)
      assert.equal(body.code, 'FST_SESSION_LOCK_QUEUE_FULL')
      const { waited, place, holder } = errors[0]!
      assert.deepEqual([waited, place], [0, 3])
      assert.deepEqual([holder?.method, holder?.route], ['POST', '/hold/:what'])
      gate.open()
      await held
      assert.deepEqual((await Promise.all(waiting)).map(({ body }) => body.n), [1, 2])
      assert.deepEqual((await visitor.post('/increment')).body, { n: 3 })
      assert.equal(app.sessions.stats().locks.queueFull, 1)
      await assertAllFree(scene, app)
    }),

    httpCase('L8 a full queue of one session is none for another one', async (scene) => {
      const { app, visitor, held, gate } = await holding(scene, { maxWaiters: 0 })
      const other = scene.visitor(app)
      assert.equal((await other.post('/data', { n: 7 })).status, 200)
      assert.equal((await visitor.post('/increment')).status, 429)
      assert.deepEqual((await other.post('/increment')).body, { n: 8 })
      gate.open()
      await held
    }),

    httpCase('L8 what another application holds is waited for as long, and no longer', async (scene) => {
      const app = await scene.app()
      const twin = await scene.twin({ lockTimeout: 300 })
      const gate = scene.gate()
      app.get('/hold/:what', IMPLICIT, async () => {
        await gate.opened
        return 'held'
      })
      const errors: LockTimeoutError[] = []
      twin.addHook('onError', async (_request, _reply, error) => { errors.push(error as unknown as LockTimeoutError) })
      const visitor = await scene.known(app)
      const held = visitor.get('/hold/secret')
      await queued(app, 0)
      const { status, body } = await visitor.at(twin).post('/increment')
      assert.deepEqual([status, body.code], [503, 'FST_SESSION_LOCK_TIMEOUT'])
      const { waited, holder } = errors[0]!
      assert.ok(waited >= 299)
      // A store need not know it; if it does, it is right.
      if (holder !== null) assert.deepEqual([holder.method, holder.route], ['GET', '/hold/:what'])
      gate.open()
      await held
      await sleep(0)
      assert.deepEqual((await visitor.at(twin).post('/increment')).body, { n: 1 })
    })
  ]
}
