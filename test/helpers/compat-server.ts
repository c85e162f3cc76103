// An application of the compat plugin, and a store as such applications have them.
import fastifyCookie from '@fastify/cookie'
import Fastify, { type FastifyInstance } from 'fastify'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import compat, { type FastifySessionOptions, type SessionStore } from '../../lib/compat/index.js'
import { hangUp, Visitor } from './http-client.js'

export const SECRET = 'a secret of more than thirty-two characters'
export const plain = { secret: SECRET, cookie: { secure: false } } as const

/** As a store over a network: JSON, and an answer that comes later. */
export class SlowStore implements SessionStore {
  readonly rows = new Map<string, string>()
  sets = 0
  destroys = 0

  get (id: string, callback: (error: any, session?: any) => void): void {
    setTimeout(() => {
      const row = this.rows.get(id)
      callback(null, row === undefined ? null : JSON.parse(row))
    }, 2)
  }

  set (id: string, session: any, callback: (error?: any) => void): void {
    this.sets++
    const row = JSON.stringify(session)
    setTimeout(() => {
      this.rows.set(id, row)
      callback()
    }, 2)
  }

  destroy (id: string, callback: (error?: any) => void): void {
    this.destroys++
    setTimeout(() => {
      this.rows.delete(id)
      callback()
    }, 2)
  }

  get only (): any {
    const [row] = this.rows.values()
    return JSON.parse(row!)
  }
}

export type Handler = (session: any, request: any, reply: any) => unknown

export async function start (t: Test, options: FastifySessionOptions, routes: Record<string, Handler>, plugin: any = compat): Promise<{ app: FastifyInstance, visitor: (cookie?: string | null) => Visitor }> {
  const app = Fastify({ forceCloseConnections: true })
  await app.register(fastifyCookie)
  await app.register(plugin, options)
  for (const [path, handler] of Object.entries(routes)) {
    app.get(path, async (request, reply) => await handler(request.session, request, reply) ?? {})
  }
  await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(async () => {
    hangUp()
    await app.close()
  })
  const { port } = app.addresses()[0] as { port: number }
  return { app, visitor: (cookie = null) => new Visitor(port, cookie) }
}

export const counting: Record<string, Handler> = {
  '/increment': async (session) => {
    const n = session.n ?? 0
    await sleep(1)
    session.n = n + 1
    return { n: session.n }
  },
  '/n': (session) => ({ n: session.n }),
  '/slow': async (session) => {
    const { n } = session
    await sleep(80)
    return { n }
  },
  '/logout': async (session) => { await session.destroy() }
}

/** Waits until something can be observed. */
export async function until (condition: () => boolean): Promise<void> {
  for (const end = performance.now() + 10_000; !condition(); await sleep(1)) {
    if (performance.now() > end) throw new Error('It was not seen within ten seconds')
  }
}
