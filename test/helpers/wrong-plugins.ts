// Our plugin, made wrong on purpose in the ways that suggest themselves. The fuzz must notice each of them.
import fastifyPlugin from 'fastify-plugin'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { sessionPlugin } from '../../lib/plugin.js'
import { firstSessionOn } from '../../lib/request/request-session.js'
import type { SessionPluginOptions, Store } from '../../lib/index.js'

/** Short waits: a lock that is never given back must not stop the test for long. */
const OPTIONS: SessionPluginOptions = { touchInterval: 0, cleanupInterval: 0, maxHold: 30_000, lockTimeout: 200, maxWaiters: 1000 }

type Hook = (...args: any[]) => unknown
type AddHook = (app: FastifyInstance, name: string, hook: Hook) => void

/** Registers ours with another idea of when its hooks run. */
function withHooks (addHook: AddHook): (app: FastifyInstance, store: Store) => Promise<void> {
  return async (app, store) => {
    await app.register(fastifyPlugin(async (inner: FastifyInstance, options: SessionPluginOptions) => {
      const wrong = new Proxy(inner, {
        get (target, key) {
          return key === 'addHook' ? (name: string, hook: Hook) => { addHook(target, name, hook) } : Reflect.get(target, key)
        }
      })
      await sessionPlugin(wrong, options)
    }), { ...OPTIONS, store })
  }
}

function asItIs (app: FastifyInstance, name: string, hook: Hook): void {
  app.addHook(name as any, hook as any)
}

/** Nothing wrong with it: what the others find is theirs, and not due to the way they are made. */
export const unchanged = withHooks(asItIs)

/** Saves and unlocks when the response has been sent, and does not look at connections that end otherwise. */
export const savesInOnResponse = withHooks((app, name, hook) => {
  if (name !== 'onSend') return asItIs(app, name, hook)
  app.addHook('onRequest', (_request, reply, done) => {
    for (const listener of reply.raw.listeners('close')) {
      if (listener.name === 'closeAll') reply.raw.off('close', listener as () => void)
    }
    done()
  })
  app.addHook('onResponse', (request, reply, done) => {
    hook.call(app, request, reply, undefined, () => done())
  })
})

/** Unlocks when the connection ends, also while the handler still runs. */
export const unlocksOnClose = withHooks((app, name, hook) => {
  asItIs(app, name, hook)
  if (name !== 'onRequest') return
  app.addHook('onRequest', (request: FastifyRequest, reply: FastifyReply, done) => {
    reply.raw.on('close', () => {
      const hold = firstSessionOn(request)?.work.stored.hold
      if (hold !== null && hold !== undefined) hold.release()
    })
    done()
  })
})
