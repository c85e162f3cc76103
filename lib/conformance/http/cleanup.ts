// C1 and C2: the cleaner, and records that cannot be read.
import assert from 'node:assert/strict'
import type { ConformanceCase, ConformanceOptions } from '../options.js'
import { sleep, until } from '../patience.js'
import { planted } from './encoding.js'
import { IMPLICIT, MODES } from './routes.js'
import { assertAllFree, HOUR, httpCases, keyOf, queued, unknownId } from './scene.js'

/** Stored by somebody else, by a broken serializer, or cut off. */
const UNREADABLE: Record<string, string | Uint8Array> = {
  'no data': '',
  'truncated data': '{"n":1,"list":[1,2',
  'data that are not JSON': 'a:1:{s:1:"n";i:1;}',
  'data that are not an object': '[1,2,3]',
  'a JSON null': 'null',
  'a JSON text': '"n"',
  bytes: Uint8Array.of(0xff, 0x00, 0x80, 0x7b)
}

export function cleanupCases (options: ConformanceOptions): ConformanceCase[] {
  const httpCase = httpCases(options)
  const { spoil, listing } = options
  return [
    httpCase('C1 the cleaner deletes what has expired, again and again, and ends with the server', async (scene) => {
      const app = await scene.app({ cleanupInterval: 10 })
      const expired = await scene.known(app)
      scene.clock.advance(HOUR / 2)
      const live = await scene.known(app)
      await until('a run', () => scene.store.pruned.length > 0)
      scene.clock.advance(HOUR / 2)
      const runs = scene.store.pruned.length
      await until('two more runs', () => scene.store.pruned.length >= runs + 2)
      if (listing !== false) {
        assert.equal(scene.store.pruned.reduce((sum, { deleted }) => sum + deleted, 0), 1)
        assert.equal(scene.store.pruned.at(-1)!.remaining, 1)
      }
      assert.equal(await scene.record(expired.cookie), null)
      assert.ok(await scene.record(live.cookie) !== null)
      await app.close()
      const { length } = scene.store.pruned
      await sleep(50)
      assert.equal(scene.store.pruned.length, length)
    }),

    httpCase('C1 the cleaner keeps no process alive, and with cleanupInterval: 0 there is none', async (scene) => {
      const timers: NodeJS.Timeout[] = []
      const { setInterval } = globalThis
      globalThis.setInterval = ((...args: Parameters<typeof setInterval>) => {
        const timer = setInterval(...args)
        timers.push(timer)
        return timer
      }) as typeof setInterval
      try {
        await scene.app({ cleanupInterval: 0 })
        assert.equal(timers.length, 0)
        await scene.app({ cleanupInterval: HOUR })
        assert.equal(timers.length, 1)
        assert.equal(timers[0]!.hasRef(), false)
      } finally {
        globalThis.setInterval = setInterval
      }
    }),

    httpCase('C1 the cleaner does not wait for a locked session, and does not delete it although it has expired', async (scene) => {
      const app = await scene.app()
      const gate = scene.gate()
      app.get('/hold', IMPLICIT, async ({ session }) => {
        await gate.opened
        session.set('n', 5)
        return 'held'
      })
      const visitor = await scene.known(app)
      await scene.known(app)
      const held = visitor.get('/hold')
      await queued(app, 0)
      scene.clock.advance(2 * HOUR)
      const result = await app.sessions.prune()
      if (listing !== false) assert.deepEqual({ ...result }, { deleted: 1, remaining: 1 })
      await app.sessions.deleteOlderThan(0)
      const waiting = visitor.post('/increment')
      await queued(app, 1)
      gate.open()
      assert.equal((await held).status, 200)
      assert.deepEqual((await waiting).body, { n: 6 })
      await assertAllFree(scene, app)
    }),

    httpCase('C1 a cleaner that fails says so in the log and tries again', async (scene) => {
      const app = await scene.app({ cleanupInterval: 10 })
      let failures = 0
      await app.ready()
      scene.store.before = (call) => {
        if (call === 'prune' && ++failures <= 2) throw new Error('out of reach')
      }
      await until('a run that succeeds', () => scene.store.pruned.length > 0)
      assert.equal(scene.log.from('error').filter(line => line.includes('out of reach')).length, 2)
    }),

    httpCase('C1 a run that takes long is not overtaken by the next one, and app.close() waits for it', async (scene) => {
      const app = await scene.app({ cleanupInterval: 5 })
      const gate = scene.gate()
      await app.ready()
      scene.store.before = async (call) => {
        if (call === 'prune') await gate.opened
      }
      await until('a run', () => scene.store.times('prune') === 1)
      await sleep(50)
      assert.equal(scene.store.times('prune'), 1)
      const closing = app.close()
      await sleep(20)
      assert.equal(scene.store.closed, false)
      gate.open()
      await closing
      assert.equal(scene.store.closed, true)
    }),

    ...Object.entries(UNREADABLE).map(([name, data]) => httpCase(`C2 ${name}: the visitor gets a new session, the operator one log line, and the rest goes on`, async (scene) => {
      const { app, cookie } = await planted(scene, data)
      for (const mode of ['implicit', 'explicit', 'readonly'] as const) {
        app.get(`/${mode}`, MODES[mode], async ({ session }) => ({ isNew: session.isNew, data: session.data(), id: session.id }))
      }
      const other = await scene.known(app, { n: 7 })
      for (const mode of ['implicit', 'explicit', 'readonly']) {
        scene.log.forget()
        const { status, body } = await scene.visitor(app, cookie).get(`/${mode}`)
        assert.equal(status, 200)
        assert.deepEqual(body, { isNew: true, data: {}, id: null })
        assert.equal(scene.log.from('warn').length, 1)
        assert.ok(!scene.log.text.includes(cookie))
        await assertAllFree(scene, app)
      }
      const visitor = scene.visitor(app, cookie)
      assert.deepEqual((await visitor.post('/increment')).body, { n: 1 })
      assert.notEqual(visitor.cookie, cookie)
      assert.deepEqual((await visitor.post('/increment')).body, { n: 2 })
      assert.deepEqual((await other.post('/increment')).body, { n: 8 })
      assert.equal(await app.sessions.get(cookie), null)
      const { deleted } = await app.sessions.prune()
      if (listing === false) return
      assert.equal(deleted, 0)
      const found = []
      for await (const [key] of app.sessions.entries()) found.push(key)
      assert.deepEqual(found.sort(), [keyOf(visitor.cookie!), keyOf(other.cookie!)].sort())
    })),

    ...(spoil === undefined
      ? []
      : [
          httpCase('C2 a record that was damaged in the store: the visitor gets a new session, the operator one log line, and the rest goes on', async (scene) => {
            const app = await scene.app()
            const visitor = await scene.known(app)
            const other = await scene.known(app, { n: 7 })
            const old = visitor.cookie!
            await spoil(scene.store.inner, keyOf(old))
            scene.log.forget()
            assert.equal((await visitor.get('/data')).body.isNew, true)
            assert.equal(scene.log.from('warn').length, 1)
            assert.ok(!scene.log.text.includes(old))
            assert.deepEqual((await visitor.post('/increment')).body, { n: 1 })
            assert.notEqual(visitor.cookie, old)
            assert.deepEqual((await other.post('/increment')).body, { n: 8 })
            if (listing !== false) assert.equal(await app.sessions.count(), 2)
            await app.sessions.prune()
            assert.deepEqual((await visitor.post('/increment')).body, { n: 2 })
          })
        ]),

    httpCase('C2 of several cookies one that names an unreadable record does not count as live', async (scene) => {
      const { app, cookie } = await planted(scene, 'unreadable')
      const { cookie: live } = await scene.known(app, { n: 7 })
      for (const cookies of [[cookie, live], [live, cookie, unknownId()]]) {
        const { status, body } = await scene.visitor(app).get('/data', { cookie: cookies.map(id => `sessionId=${id}`).join('; ') })
        assert.equal(status, 200)
        assert.deepEqual(body.data, { n: 7 })
      }
    })
  ]
}
