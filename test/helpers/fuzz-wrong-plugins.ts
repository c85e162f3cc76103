// Session plugins that are wrong on purpose, in the two ways that come to mind first. The oracle must find them out.
//
// They are made of our own parts, from the store to the lock queue, and differ from the real plugin in one thing:
// when they save and unlock.
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { LockQueue } from '../../lib/lock/lock-queue.js'
import type { Hold } from '../../lib/lock/hold.js'
import type { Store } from '../../lib/index.js'
import { keyOf } from '../../lib/session/id.js'

export type Mistake =
  /** Unlocks when the connection ends, whether or not the handler still runs. */
  | 'unlock at close'
  /** Saves and unlocks when the response has been sent. */
  | 'save in onResponse'

const LIMITS = { maxHold: 60_000, lockTimeout: 200, maxWaiters: 1000 }

/** Has what `plain` behaviours use, and believes to be locked until it has saved. */
class PlainSession {
  locked = true
  readonly isNew = false
  readonly #data: Record<string, unknown>

  constructor (public hold: Hold | null, data: string) {
    this.#data = JSON.parse(data)
  }

  get (key: string): unknown { return this.#data[key] }
  set (key: string, value: unknown): void { this.#data[key] = value }
  encode (): string { return JSON.stringify(this.#data) }
}

export function wrongPlugin (mistake: Mistake) {
  return async (app: FastifyInstance, store: Store): Promise<void> => {
    const locks = new LockQueue(store, () => {})
    const sessions = new WeakMap<FastifyRequest, PlainSession>()
    app.decorate('sessions', { stats: () => ({ locks: locks.stats() }) } as FastifyInstance['sessions'])
    app.decorateRequest('session', { getter (this: FastifyRequest) { return sessions.get(this) } } as never)

    async function lock (request: FastifyRequest): Promise<Hold | null> {
      const id = /sessionId=([^;]+)/.exec(request.headers.cookie ?? '')?.[1] ?? ''
      return await locks.acquire(locks.waiter(keyOf('sessionId', id), LIMITS, { method: request.method, route: request.url }))
    }

    async function save (request: FastifyRequest): Promise<void> {
      const session = sessions.get(request)
      if (session === undefined || !session.locked) return
      // The lock may be gone already; then it is taken again, as if nothing had happened in between.
      const hold = session.hold ?? await lock(request)
      session.locked = false
      if (hold !== null) await hold.save({ ...hold.record, data: session.encode() }, true)
    }

    app.addHook('onRequest', async (request, reply) => {
      const hold = await lock(request)
      if (hold === null) return
      const session = new PlainSession(hold, String(hold.record.data))
      sessions.set(request, session)
      if (mistake === 'unlock at close') {
        reply.raw.on('close', () => {
          if (session.locked) hold.release()
          session.hold = null
        })
      }
    })
    if (mistake === 'unlock at close') app.addHook('onSend', async (request) => { await save(request) })
    else app.addHook('onResponse', async (request) => { await save(request) })
  }
}
