// L7: first come, first served; and who leaves, leaves the queue.
import assert from 'node:assert/strict'
import type { ConformanceCase, ConformanceOptions } from '../options.js'
import { sleep, until } from '../patience.js'
import { listen } from './client.js'
import { EXPLICIT, IMPLICIT } from './routes.js'
import { assertAllFree, httpCases, queued } from './scene.js'

export function waitingCases (options: ConformanceOptions): ConformanceCase[] {
  const httpCase = httpCases(options)
  return [
    httpCase('L7 ten who wait are served in the order in which they came', async (scene) => {
      const app = await scene.app()
      const gate = scene.gate()
      const order: number[] = []
      app.get('/hold', IMPLICIT, async () => {
        await gate.opened
        return 'held'
      })
      app.get('/implicit/:number', IMPLICIT, async ({ params, session }) => {
        order.push(Number((params as { number: string }).number))
        await sleep(1)
        session.set('n', order.length)
        return 'served'
      })
      app.get('/explicit/:number', EXPLICIT, async (request) => await request.withSessionLock(async () => {
        order.push(Number((request.params as { number: string }).number))
      }))
      const visitor = await scene.known(app)
      const answers = [visitor.get('/hold')]
      await queued(app, 0)
      for (let i = 1; i <= 10; i++) {
        answers.push(visitor.get(`/${i % 3 === 0 ? 'explicit' : 'implicit'}/${i}`))
        await queued(app, i)
      }
      gate.open()
      await Promise.all(answers)
      assert.deepEqual(order, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
      await assertAllFree(scene, app)
    }),

    httpCase('L7 who leaves while it waits leaves the queue: its handler never runs, and the others are served in order', async (scene) => {
      const app = await scene.app()
      const gate = scene.gate()
      const order: string[] = []
      app.get('/hold', IMPLICIT, async () => {
        await gate.opened
        return 'held'
      })
      app.get('/:name', IMPLICIT, async ({ params }) => {
        order.push((params as { name: string }).name)
        return 'served'
      })
      await listen(app)
      const visitor = await scene.known(app)
      const held = visitor.open('/hold')
      await queued(app, 0)
      const waiting = []
      for (const name of ['a', 'leaving', 'b', 'leaving too', 'c']) {
        waiting.push(visitor.open(`/${encodeURIComponent(name)}`))
        await queued(app, waiting.length)
      }
      for (const index of [1, 3]) waiting[index]!.leave()
      await queued(app, 3)
      gate.open()
      assert.equal((await held.answer).status, 200)
      for (const index of [0, 2, 4]) assert.equal((await waiting[index]!.answer).status, 200)
      assert.deepEqual(order, ['a', 'b', 'c'])
      assert.equal(app.sessions.stats().locks.cancelled, 2)
      await assertAllFree(scene, app)
    }),

    httpCase('L7 who leaves while a body is still to come leaves the queue, too', async (scene) => {
      const app = await scene.app()
      const gate = scene.gate()
      let ran = false
      app.get('/hold', IMPLICIT, async () => {
        await gate.opened
        return 'held'
      })
      app.post('/', IMPLICIT, async () => {
        ran = true
        return 'served'
      })
      await listen(app)
      const visitor = await scene.known(app)
      const held = visitor.open('/hold')
      await queued(app, 0)
      const leaving = visitor.open('/', { method: 'POST', body: { text: 'x'.repeat(1000) } })
      await queued(app, 1)
      leaving.leave()
      await queued(app, 0)
      gate.open()
      await held.answer
      assert.deepEqual((await visitor.post('/increment')).body, { n: 1 })
      assert.equal(ran, false)
      await assertAllFree(scene, app)
    }),

    httpCase('L7 all leave: the session is as free as before', async (scene) => {
      const app = await scene.app()
      const gate = scene.gate()
      app.get('/hold', IMPLICIT, async () => {
        await gate.opened
        return 'held'
      })
      await listen(app)
      const visitor = await scene.known(app)
      const held = visitor.open('/hold')
      await queued(app, 0)
      const waiting = Array.from({ length: 5 }, () => visitor.open('/increment', { method: 'POST', body: {} }))
      await queued(app, 5)
      for (const { leave } of waiting) leave()
      await queued(app, 0)
      gate.open()
      await held.answer
      await assertAllFree(scene, app)
      assert.deepEqual(await scene.dataOf(visitor.cookie), { n: 0 })
    }),

    ...(options.secondConnection === undefined
      ? []
      : [
          httpCase('L7 a busy application does not keep another one out: its turn comes before the queue of the first is empty', async (scene) => {
            const app = await scene.app({ maxWaiters: 100 })
            const twin = await scene.twin()
            const gate = scene.gate()
            let served = 0
            app.get('/hold', IMPLICIT, async () => {
              await gate.opened
              return 'held'
            })
            app.get('/busy', IMPLICIT, async () => {
              await sleep(3)
              served++
              return 'served'
            })
            let before = -1
            twin.get('/other', IMPLICIT, async () => {
              before = served
              return 'served'
            })
            const visitor = await scene.known(app)
            const answers = [visitor.get('/hold')]
            await queued(app, 0)
            for (let i = 0; i < 80; i++) answers.push(visitor.get('/busy'))
            await queued(app, 80)
            answers.push(visitor.at(twin).get('/other'))
            await until('the other one to wait', () => twin.sessions.stats().locks.waiting === 1)
            gate.open()
            for (const { status } of await Promise.all(answers)) assert.equal(status, 200)
            assert.ok(before >= 0 && before < 60, `it was served after ${before} of 80`)
          })
        ])
  ]
}
