// S7: once the session is committed it is frozen. Nothing is lost in silence.
import assert from 'node:assert/strict'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Session } from '../../session/session.js'
import type { ConformanceCase, ConformanceOptions } from '../options.js'
import { until } from '../patience.js'
import { IMPLICIT, MODES } from './routes.js'
import { assertAllFree, httpCases, type HttpScene } from './scene.js'

const WRITES: Record<string, (session: Session) => unknown> = {
  'set()': (session) => session.set('n', 99),
  'delete()': (session) => session.delete('n'),
  'pop()': (session) => session.pop('n'),
  'update()': (session) => session.update({ n: 99 }),
  'clear()': (session) => session.clear(),
  'setUser()': (session) => session.setUser('eve'),
  'touch()': (session) => session.touch(),
  'save()': (session) => session.save(),
  'regenerate()': (session) => session.regenerate(),
  'destroy()': (session) => session.destroy(),
  'acquireLock()': (session) => session.acquireLock()
}

/** Tries everything; says what reads give, and which writes did not throw FST_SESSION_COMMITTED. */
export async function probe ({ session }: FastifyRequest): Promise<{ n: unknown, list: unknown, locked: boolean, notRefused: string[] }> {
  const notRefused: string[] = []
  for (const [name, write] of Object.entries(WRITES)) {
    try {
      await write(session)
      notRefused.push(name)
    } catch (error) {
      if ((error as { code?: string }).code !== 'FST_SESSION_COMMITTED') notRefused.push(`${name}: ${String(error)}`)
    }
  }
  const list = session.get('list')
  try {
    list?.push(99)
    if (list !== undefined) notRefused.push('a nested write')
  } catch {}
  return { n: session.get('n'), list, locked: session.locked, notRefused }
}

export const FROZEN = { n: 1, list: [1], locked: false, notRefused: [] }

/** After the request: what was committed is stored and nothing else, and the session is as usable as ever. */
export async function assertKept (scene: HttpScene, app: FastifyInstance, cookie: string | null, data: object = { n: 1, list: [1] }): Promise<void> {
  await assertAllFree(scene, app)
  assert.deepEqual(await scene.dataOf(cookie), data)
  assert.equal((await scene.record(cookie))?.user, null)
  assert.equal((await scene.visitor(app, cookie).post('/increment')).status, 200)
}

export function frozenCases (options: ConformanceOptions): ConformanceCase[] {
  const httpCase = httpCases(options)

  return [
    ...(['implicit', 'explicit'] as const).map(mode => httpCase(`S7 ${mode}: in onSend of a later plugin reads work and writes throw FST_SESSION_COMMITTED`, async (scene) => {
      const app = await scene.app()
      const probes: unknown[] = []
      app.get('/', MODES[mode], async (request) => {
        if (mode === 'implicit') request.session.set('n', 1)
        else await request.withSessionLock((session) => { session.set('n', 1) })
        return 'done'
      })
      app.addHook('onSend', async (request) => {
        if (request.url === '/') probes.push(await probe(request))
      })
      const visitor = await scene.known(app, { n: 0, list: [1] })
      assert.equal((await visitor.get('/')).status, 200)
      assert.deepEqual(probes, [FROZEN])
      await assertKept(scene, app, visitor.cookie)
    })),

    httpCase('S7 after commit() the session is saved, unlocked and frozen, and withSessionLock() still works', async (scene) => {
      const app = await scene.app()
      const gate = scene.gate()
      const reached = scene.gate()
      app.get('/', IMPLICIT, async (request) => {
        request.session.set('n', 1)
        await request.session.commit()
        await request.session.commit()
        const frozen = await probe(request)
        reached.open()
        await gate.opened
        const late = await request.withSessionLock((session) => {
          session.set('late', session.get('n'))
          return session.locked
        })
        return { frozen, late, after: await probe(request) }
      })
      const visitor = await scene.known(app, { n: 0, list: [1] })
      const answer = visitor.get('/')
      await reached.opened
      assert.equal(app.sessions.stats().locks.held, 0)
      assert.deepEqual((await visitor.post('/increment')).body, { n: 2 })
      gate.open()
      assert.deepEqual((await answer).body, { frozen: FROZEN, late: true, after: { ...FROZEN, n: 2 } })
      await assertKept(scene, app, visitor.cookie, { n: 2, list: [1], late: 2 })
    }),

    httpCase('S7 commit() of a new session gives it its cookie', async (scene) => {
      const app = await scene.app()
      app.get('/', IMPLICIT, async (request) => {
        request.session.update({ n: 1, list: [1] })
        await request.session.commit()
        return await probe(request)
      })
      const visitor = scene.visitor(app)
      assert.deepEqual((await visitor.get('/')).body, FROZEN)
      await assertKept(scene, app, visitor.cookie)
    }),

    httpCase('S7 what goes on after the reply may read, may not write, and may use withSessionLock()', async (scene) => {
      const app = await scene.app()
      const gate = scene.gate()
      let later: Promise<unknown> = Promise.resolve()
      app.get('/', IMPLICIT, async (request) => {
        request.session.set('n', 1)
        later = gate.opened.then(async () => {
          const frozen = await probe(request)
          await request.withSessionLock((session) => { session.set('late', 1) })
          return frozen
        })
        return 'sent'
      })
      const visitor = await scene.known(app, { n: 0, list: [1] })
      await visitor.get('/')
      gate.open()
      assert.deepEqual(await later, FROZEN)
      await assertKept(scene, app, visitor.cookie, { n: 1, list: [1], late: 1 })
    }),

    httpCase('S7 a section that still runs when the reply is sent keeps the lock, and its changes are saved at its end', async (scene) => {
      const app = await scene.app()
      const gate = scene.gate()
      let section: Promise<unknown> = Promise.resolve()
      app.get('/', MODES.explicit, async (request) => {
        const entered = scene.gate()
        section = request.withSessionLock(async (session) => {
          entered.open()
          await gate.opened
          session.set('n', session.get('n') + 10)
        })
        await entered.opened
        return 'sent'
      })
      const visitor = await scene.known(app)
      assert.equal((await visitor.get('/')).text, 'sent')
      const next = visitor.post('/increment')
      await until('the next one to wait', () => app.sessions.stats().locks.waiting === 1)
      gate.open()
      await section
      assert.deepEqual((await next).body, { n: 11 })
      await assertAllFree(scene, app)
    })
  ]
}
