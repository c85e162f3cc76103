// What a handler leaves behind (a timer, a client, a promise) remembers the call chain in which it was made, for as long as
// it lives. The request that made it must not live as long.
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { AsyncResource } from 'node:async_hooks'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import sessionPlugin, { MemoryStore, type Store } from '../lib/index.js'
import { AwaitedStore } from './helpers/awaited-store.js'
import { Browser } from './helpers/browser.js'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

const STORES: Record<string, () => Store> = {
  'that answers at once': () => new MemoryStore(),
  'that answers later': () => new AwaitedStore(new MemoryStore(), async () => { await nextTurn() })
}

const SAVED_BEFORE = 'a handler whose session was saved for good before it began'

const WAYS: Record<string, (app: FastifyInstance, request: FastifyRequest, leaveBehind: () => void, reply: FastifyReply) => Promise<void>> = {
  async 'a handler under the lock' (_app, _request, leaveBehind) { leaveBehind() },
  async 'a section' (_app, request, leaveBehind) { await request.withSessionLock(leaveBehind) },
  async 'a section of fastify.sessions' (app, request, leaveBehind) {
    const { id } = request.session
    await request.session.releaseLock()
    await app.sessions.with(id!, leaveBehind)
  },
  async 'a section that has sent the reply' (_app, request, leaveBehind) {
    await request.withSessionLock(async () => {
      leaveBehind()
      await request.session.commit()
    })
  },
  async 'a handler that has saved for good' (_app, request, leaveBehind) {
    await request.session.commit()
    leaveBehind()
  },
  async 'a handler that has saved for good and hijacks its reply' (_app, request, leaveBehind, reply) {
    await request.session.commit()
    leaveBehind()
    reply.hijack().raw.end('{"done":true}')
  },
  async [SAVED_BEFORE] (_app, _request, leaveBehind, reply) {
    leaveBehind()
    reply.hijack().raw.end('{"done":true}')
  },
  async 'a handler that has saved for good and writes to the socket' (_app, request, leaveBehind, reply) {
    await request.session.commit()
    leaveBehind()
    reply.raw.end('{"done":true}')
  }
}

for (const [kind, newStore] of Object.entries(STORES)) {
  for (const [way, play] of Object.entries(WAYS)) {
    t.test(`a store ${kind}: what ${way} leaves behind does not keep the request`, async (t) => {
      const app = Fastify()
      t.teardown(() => app.close())
      await app.register(sessionPlugin, { store: newStore() })
      const requests: Array<WeakRef<FastifyRequest>> = []
      const left: AsyncResource[] = []
      app.post('/', async ({ session }) => {
        session.set('n', 1)
        return { n: 1 }
      })
      app.addHook('preHandler', async ({ method, session }) => { if (way === SAVED_BEFORE && method === 'GET') await session.commit() })
      app.get('/', async (request, reply) => {
        requests.push(new WeakRef(request))
        await play(app, request, () => { left.push(new AsyncResource('left behind')) }, reply)
        if (!reply.raw.writableEnded) return { done: true }
      })
      const browser = new Browser(await app.listen({ host: '127.0.0.1', port: 0 }))
      await browser.post('/')
      for (let i = 0; i < 5; i++) t.equal((await browser.get('/')).done, true)
      // The connection keeps the last request, and what runs now may keep one more.
      for (let tries = 0; tries < 50 && alive(requests) > 1; tries++) {
        await sleep(10)
        collect()
      }
      t.equal(left.length, 5)
      t.ok(alive(requests) <= 1, `${alive(requests)} of 5 requests are still alive`)
    })
  }
}

function alive (requests: Array<WeakRef<FastifyRequest>>): number {
  return requests.filter(request => request.deref() !== undefined).length
}
