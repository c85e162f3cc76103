// Two applications on one Redis master that goes, while requests keep counting in one session.
import Fastify, { type FastifyInstance } from 'fastify'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { within } from '../../lib/conformance/patience.js'
import sessionPlugin from '../../lib/index.js'
import { RedisStore, type RedisStoreOptions } from '../../lib/stores/redis/index.js'

const AT_FAILOVER = /^FST_SESSION_(STORE_UNAVAILABLE|LOCK_LOST|LOCK_TIMEOUT|CONFLICT)$/

export type Cookies = { sessionId: string }

export class CountingApps {
  readonly #t: Test
  readonly #apps: FastifyInstance[]

  private constructor (t: Test, apps: FastifyInstance[]) {
    this.#t = t
    this.#apps = apps
  }

  static async start (t: Test, connect: () => Promise<RedisStoreOptions['client']>): Promise<CountingApps> {
    return new CountingApps(t, await Promise.all([1, 2].map(async () => {
      const app = Fastify()
      await app.register(sessionPlugin, { store: new RedisStore({ client: await connect(), lease: 2000 }) })
      t.teardown(() => app.close())
      app.get('/', async ({ session }) => session.set('n', session.get('n', 0) as number + 1).data())
      return app
    })))
  }

  async newSession (): Promise<Cookies> {
    return { sessionId: (await this.#apps[0]!.inject('/')).cookies[0]!.value }
  }

  async stored (): Promise<number> {
    return await this.#apps[0]!.sessions.count()
  }

  /**
   * Four visitors count while `fail` takes the master away, until 20 more requests have succeeded, in at most `patience` ms; then
   * counts once more, without loss.
   */
  async goThrough (cookies: Cookies, patience: number, fail: (traffic: { failed: number }) => Promise<void>): Promise<void> {
    const t = this.#t
    const traffic = { done: 0, failed: 0, stopped: false }
    const apps = [...this.#apps, ...this.#apps]
    const visitors = apps.map(async (app) => {
      while (!traffic.stopped) {
        const response = await within('to answer', app.inject({ url: '/', cookies }), 25_000)
        if (response.statusCode === 200) {
          traffic.done++
        } else {
          traffic.failed++
          t.match(response.json().code, AT_FAILOVER)
          await sleep(50)
        }
      }
    })
    await until(() => traffic.done >= 20)
    await fail(traffic)
    const before = traffic.done
    await within('to go on', until(() => traffic.done >= before + 20), patience)
    traffic.stopped = true
    await Promise.all(visitors)
    t.comment(`${traffic.failed} requests failed meanwhile`)
    const counts: number[] = []
    for (const app of apps) counts.push((await app.inject({ url: '/', cookies })).json().n)
    t.same(counts, [0, 1, 2, 3].map(n => counts[0]! + n))
  }
}

export async function until (holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(20)
}
