// A server in this process, on a real port, that remembers what it logs.
import Fastify, { type FastifyInstance } from 'fastify'
import { Writable } from 'node:stream'
import type { Test } from 'tap'
import sessionPlugin from '../../lib/index.js'
import type { FileStore } from '../../lib/stores/file/index.js'
import type { SessionPluginOptions } from '../../types/options.js'
import { hangUp, Visitor } from './http-client.js'
import { addSessionRoutes } from './session-routes.js'

export interface LogLine { level: number, msg: string }

export class LocalServer {
  readonly logs: LogLine[] = []
  readonly app: FastifyInstance

  private constructor (readonly store: FileStore) {
    const logs = this.logs
    const stream = new Writable({
      write (line, _encoding, done) {
        logs.push(JSON.parse(String(line)))
        done()
      }
    })
    this.app = Fastify({ logger: { level: 'warn', stream }, forceCloseConnections: true })
  }

  static async start (t: Test, store: FileStore, options: SessionPluginOptions = {}): Promise<LocalServer> {
    const server = new LocalServer(store)
    const { app } = server
    await app.register(sessionPlugin, { store, cleanupInterval: 0, ...options })
    addSessionRoutes(app)
    await app.listen({ host: '127.0.0.1', port: 0 })
    t.teardown(async () => {
      hangUp()
      await app.close()
    })
    return server
  }

  visitor (cookie: string | null = null): Visitor {
    return new Visitor((this.app.addresses()[0] as { port: number }).port, cookie)
  }

  /** A visitor with a session whose counter has this value. */
  async known (n = 1): Promise<Visitor & { cookie: string }> {
    const visitor = this.visitor()
    await visitor.post('/begin')
    for (let i = 0; i < n; i++) await visitor.post('/increment')
    return visitor as Visitor & { cookie: string }
  }
}
