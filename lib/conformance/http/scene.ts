// What one case of the HTTP suite works with: applications on the store under test, visitors, a clock and the log.
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import fp from 'fastify-plugin'
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import type { SessionPluginOptions } from '../../../types/options.js'
import type { SessionRecord } from '../../../types/store.js'
import { sessionPlugin } from '../../plugin.js'
import { FakeClock } from '../clock.js'
import { LogLines } from '../log-lines.js'
import type { ConformanceCase, ConformanceOptions } from '../options.js'
import { Gate, until, within } from '../patience.js'
import { Visitor } from './client.js'
import { addRoutes } from './routes.js'
import { WatchedStore } from './watched-store.js'

export const MINUTE = 60_000
export const HOUR = 60 * MINUTE

export class HttpScene {
  readonly clock = new FakeClock()
  readonly log = new LogLines()
  readonly #apps: FastifyInstance[] = []
  readonly #gates: Gate[] = []
  #store: WatchedStore | null = null

  constructor (readonly options: ConformanceOptions) {}

  /** The store under test, once there is an application. */
  get store (): WatchedStore {
    assert.ok(this.#store !== null)
    return this.#store
  }

  /** An application with the plugin, the routes of routes.ts, and whatever the case adds. All have one store. */
  async app (plugin: SessionPluginOptions = {}, server: FastifyServerOptions = {}): Promise<FastifyInstance> {
    this.#store ??= new WatchedStore(await this.options.createStore({ now: this.clock.now, maxRecordSize: 1024 * 1024, log: this.log.log }))
    return await this.#start(this.#store, plugin, server)
  }

  /** Another application on the sessions of the first, through another connection if the store can have one. */
  async twin (plugin: SessionPluginOptions = {}): Promise<FastifyInstance> {
    const { secondConnection } = this.options
    // The wrapped store is what the author of the store knows.
    const store = secondConnection === undefined ? this.store : new WatchedStore(await secondConnection(this.store.inner))
    return await this.#start(store, plugin, {})
  }

  visitor (app: FastifyInstance, cookie: string | null = null): Visitor {
    return new Visitor(app, cookie)
  }

  /** A visitor who has a session with these data. */
  async known (app: FastifyInstance, data: object = { n: 0 }): Promise<Visitor> {
    const visitor = this.visitor(app)
    const { status } = await visitor.post('/data', data)
    assert.equal(status, 200)
    assert.ok(visitor.cookie !== null)
    return visitor
  }

  /** What is stored for a visitor's cookie. */
  async record (cookie: string | null): Promise<SessionRecord | null> {
    assert.ok(cookie !== null)
    return await this.store.inner.read(keyOf(cookie))
  }

  async dataOf (cookie: string | null): Promise<any> {
    const record = await this.record(cookie)
    assert.ok(record !== null, 'the session is gone')
    return JSON.parse(String(record.data))
  }

  /** Opened at the end of the case, if not before, so that no handler waits for ever. */
  gate (): Gate {
    const gate = new Gate()
    this.#gates.push(gate)
    return gate
  }

  async close (): Promise<void> {
    for (const gate of this.#gates) gate.open()
    for (const app of this.#apps.reverse()) await app.close()
  }

  async #start (store: WatchedStore, plugin: SessionPluginOptions, server: FastifyServerOptions): Promise<FastifyInstance> {
    const app = Fastify({ logger: { level: 'trace', stream: this.log }, ...server } as FastifyServerOptions) as unknown as FastifyInstance
    this.#apps.push(app)
    await app.register(fp(sessionPlugin), { store, now: this.clock.now, cleanupInterval: 0, ...plugin })
    addRoutes(app)
    return app
  }
}

/** Makes cases for one store; each plays on a scene of its own. */
export type HttpCase = (name: string, play: (scene: HttpScene) => Promise<void>) => ConformanceCase

export function httpCases (options: ConformanceOptions): HttpCase {
  return (name, play) => ({
    name,
    async run () {
      const scene = new HttpScene(options)
      try {
        await within(name, play(scene), 30_000)
      } finally {
        await within('to close the applications', scene.close(), 30_000)
      }
    }
  })
}

/** Waits until so many requests stand in the queues of an application, behind a holder. */
export async function queued (app: FastifyInstance, waiting: number): Promise<void> {
  await until(`${waiting} waiting`, () => {
    const { locks } = app.sessions.stats()
    return locks.held > 0 && locks.waiting === waiting
  })
}

/** Nothing is in flight, and every lock that was taken was given back. */
export async function assertAllFree (scene: HttpScene, app: FastifyInstance): Promise<void> {
  await until('all locks to be free', () => app.sessions.stats().locks.held === 0)
  const { acquired, released, waiting } = app.sessions.stats().locks
  assert.equal(released, acquired)
  assert.equal(waiting, 0)
  for (const lease of scene.store.leases) assert.equal(lease.ends, 1, 'a lease is ended once')
}

export function keyOf (cookie: string): string {
  return createHash('sha256').update(`sessionId=${cookie}`).digest('hex')
}

/** An id as the plugin makes them, but of nobody. */
export function unknownId (): string {
  return randomBytes(24).toString('base64url')
}
