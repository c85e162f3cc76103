// L1: one request of a session at a time, from its first hook until its changes are saved.
import assert from 'node:assert/strict'
import { connect, type AddressInfo } from 'node:net'
import { PassThrough } from 'node:stream'
import type { ConformanceCase, ConformanceOptions } from '../options.js'
import { sleep, until } from '../patience.js'
import { listen } from './client.js'
import { MODES } from './routes.js'
import { assertAllFree, httpCases, keyOf, queued } from './scene.js'

export function lockingCases (options: ConformanceOptions): ConformanceCase[] {
  const httpCase = httpCases(options)
  return [
    httpCase('L1 of 50 requests at once that each add 1, none is lost', async (scene) => {
      const app = await scene.app()
      const visitor = await scene.known(app)
      const answers = await Promise.all(Array.from({ length: 50 }, () => visitor.post('/increment')))
      assert.deepEqual(answers.map(({ body }) => body.n).sort((a, b) => a - b), Array.from({ length: 50 }, (_, index) => index + 1))
      assert.deepEqual(await scene.dataOf(visitor.cookie), { n: 50 })
      await assertAllFree(scene, app)
    }),

    httpCase('L1 two applications on the same sessions lose nothing, either', async (scene) => {
      const app = await scene.app()
      const twin = await scene.twin()
      const visitor = await scene.known(app)
      const visitors = Array.from({ length: 40 }, (_, index) => visitor.at(index % 2 === 0 ? app : twin))
      const answers = await Promise.all(visitors.map((one, index) => one.post(index % 4 < 2 ? '/increment' : '/section')))
      for (const { status, text } of answers) assert.equal(status, 200, text)
      assert.deepEqual(await scene.dataOf(visitor.cookie), { n: 40 })
      await assertAllFree(scene, app)
    }),

    httpCase('L1 many visitors at once lose nothing, and see no data but their own', async (scene) => {
      const apps = [await scene.app(), await scene.twin()]
      const visitors = await Promise.all(Array.from({ length: 40 }, async (_, index) => await scene.known(apps[0]!, { n: 0, owner: index })))
      const answers = await Promise.all(visitors.flatMap((visitor, index) => Array.from({ length: 6 }, async (_, turn) => await visitor.at(apps[(index + turn) % 2]!).post('/increment'))))
      for (const { status, text } of answers) assert.equal(status, 200, text)
      for (const [owner, { cookie }] of visitors.entries()) assert.deepEqual(await scene.dataOf(cookie), { n: 6, owner })
      for (const app of apps) await assertAllFree(scene, app)
    }),

    httpCase('L1 requests of one session never overlap, from the first later hook to the end of the handler; those of two sessions do', async (scene) => {
      const app = await scene.app()
      const inside = new Map<string, number>()
      let most = 0
      let mostOfOne = 0
      app.addHook('onRequest', async (request) => {
        const of = String(request.headers.cookie)
        inside.set(of, (inside.get(of) ?? 0) + 1)
        mostOfOne = Math.max(mostOfOne, inside.get(of)!)
        most = Math.max(most, [...inside.values()].reduce((a, b) => a + b))
        await sleep(1)
      })
      app.post('/slow', async (request) => {
        const { session } = request
        await sleep(5)
        session.set('n', session.get('n', 0) + 1)
        const of = String(request.headers.cookie)
        inside.set(of, inside.get(of)! - 1)
        return 'done'
      })
      const visitors = [scene.visitor(app), scene.visitor(app)]
      for (const visitor of visitors) await visitor.post('/data', { n: 0 })
      inside.clear()
      mostOfOne = most = 0
      await Promise.all(Array.from({ length: 10 }, (_, index) => visitors[index % 2]!.post('/slow')))
      assert.equal(mostOfOne, 1)
      assert.equal(most, 2)
    }),

    httpCase('L1 hooks and handler of a plugin that comes later read and write the session under the lock', async (scene) => {
      const app = await scene.app()
      const locked: boolean[] = []
      for (const name of ['onRequest', 'preValidation', 'preHandler'] as const) {
        app.addHook(name, async ({ session }) => {
          locked.push(session.locked)
          session.set(name, true)
        })
      }
      app.get('/', async ({ session }) => session.data())
      const visitor = await scene.known(app, {})
      locked.length = 0
      assert.deepEqual((await visitor.get('/')).body, { onRequest: true, preValidation: true, preHandler: true })
      assert.deepEqual(locked, [true, true, true])
    }),

    httpCase('L1 the changes are stored and the lock is free when a later onSend hook runs', async (scene) => {
      const app = await scene.app()
      const seen: unknown[] = []
      app.addHook('onSend', async (request) => {
        if (request.method !== 'POST' || request.url !== '/increment') return
        seen.push(await scene.dataOf(request.session.id), app.sessions.stats().locks.held, request.session.locked)
      })
      const visitor = await scene.known(app)
      await visitor.post('/increment')
      assert.deepEqual(seen, [{ n: 1 }, 0, false])
    }),

    httpCase('L1 who has seen the first byte of a reply finds the lock free and the change there, although the reply goes on', async (scene) => {
      const app = await scene.app()
      const body = new PassThrough()
      app.get('/stream', async ({ session }, reply) => {
        session.set('n', 5)
        body.write('first')
        return await reply.send(body)
      })
      await listen(app)
      const visitor = await scene.known(app)
      const stream = visitor.open('/stream')
      await stream.begun
      assert.deepEqual((await visitor.open('/increment', { method: 'POST', body: {} }).answer).body, { n: 6 })
      body.end()
      assert.equal((await stream.answer).text, 'first')
    }),

    httpCase('L1 two requests of a session that are pipelined on one connection are both answered', async (scene) => {
      const app = await scene.app()
      await listen(app)
      const visitor = await scene.known(app)
      const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1')
      let received = ''
      socket.setEncoding('utf8').on('data', (chunk: string) => { received += chunk })
      const request = `POST /increment HTTP/1.1\r\nHost: localhost\r\nCookie: sessionId=${visitor.cookie}\r\nContent-Length: 0\r\n\r\n`
      socket.write(request.repeat(3))
      await until('three answers', () => received.split('HTTP/1.1 200').length === 4)
      socket.destroy()
      assert.deepEqual(await scene.dataOf(visitor.cookie), { n: 3 })
    }),

    httpCase('L1 requests of a session wait for each other whatever their route', async (scene) => {
      const app = await scene.app()
      const gate = scene.gate()
      const order: string[] = []
      app.get('/hold', MODES.implicit, async () => {
        await gate.opened
        order.push('hold')
        return 'held'
      })
      app.delete('/other/:id', MODES.implicit, async () => {
        order.push('other')
        return 'other'
      })
      const visitor = await scene.known(app)
      const held = visitor.get('/hold')
      await queued(app, 0)
      const other = app.inject({ method: 'DELETE', url: '/other/1', headers: { cookie: `sessionId=${visitor.cookie}` } })
      await queued(app, 1)
      gate.open()
      await Promise.all([held, other])
      assert.deepEqual(order, ['hold', 'other'])
    }),

    httpCase('L1 a visitor without a session waits for nobody', async (scene) => {
      const app = await scene.app()
      const gate = scene.gate()
      app.get('/hold', async ({ session }) => {
        session.set('n', 1)
        await gate.opened
        return 'held'
      })
      const held = scene.visitor(app).get('/hold')
      const other = scene.visitor(app)
      await other.post('/increment')
      assert.ok(scene.store.keys.has(keyOf(other.cookie!)))
      gate.open()
      assert.equal((await held).status, 200)
    })
  ]
}
