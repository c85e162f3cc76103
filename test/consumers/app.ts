// An application in TypeScript, as users write it. It is compiled as an ES module, as CommonJS and for a bundler.
import Fastify, { type FastifyInstance } from 'fastify'
import sessionPlugin, {
  LockTimeoutError, MemoryStore, type SessionPluginOptions, type SessionRecord, type Store
} from 'fastify-locked-session'
import { FileStore } from 'fastify-locked-session/file'
import { type IoredisLike, RedisStore } from 'fastify-locked-session/redis'
import { type PgPool, PostgresStore } from 'fastify-locked-session/postgres'
import { MemcachedStore } from 'fastify-locked-session/memcached'
import { CookieStore } from 'fastify-locked-session/cookie'
import { ExpressStore, type ExpressSessionStore } from 'fastify-locked-session/express'
import { storeConformance } from 'fastify-locked-session/conformance'

declare module 'fastify-locked-session' {
  interface SessionData {
    visits: number
    cart: string[]
  }
}

const options: SessionPluginOptions = { store: new MemoryStore(), locking: 'implicit', lockTimeout: 1000 }

export function buildApp (): FastifyInstance {
  const app = Fastify()
  app.register(sessionPlugin, options)
  app.get('/', async (request) => {
    const visits: number = request.session.get('visits', 0)
    request.session.set('visits', visits + 1)
    return { visits: request.session.get('visits') }
  })
  app.get('/cart', { config: { session: { locking: 'explicit' } } }, async (request) => {
    const cart: string[] = await request.withSessionLock(session => session.set('cart', ['apple']).get('cart', []))
    return { cart, scope: app.sessions.scope }
  })
  return app
}

/** What must not compile. Each line is an error of its own, and an error that is missing is an error. */
export function mistakes (app: FastifyInstance): void {
  // @ts-expect-error there is no such option
  app.register(sessionPlugin, { lockTimeOut: 5 })
  // @ts-expect-error a text is no number of milliseconds
  app.register(sessionPlugin, { lockTimeout: '5' })
  app.get('/mistakes', async (request) => {
    // @ts-expect-error a text is no number of visits
    request.session.set('visits', 'one')
    // @ts-expect-error there is no such key
    request.session.get('vists')
  })
  // @ts-expect-error there is no such way of locking
  app.get('/locking', { config: { session: { locking: 'maybe' } } }, async () => {})
  // @ts-expect-error the client is missing
  // eslint-disable-next-line no-new
  new RedisStore({})
  // @ts-expect-error something is missing in this store
  const store: Store = { scope: 'process' }
  // @ts-expect-error a record needs its times
  const record: SessionRecord = { data: '', user: null }
  console.log(store, record)
}

/** Each entry point: its values and its types, without any client library installed. */
export function everyStore (redis: IoredisLike, pool: PgPool, old: ExpressSessionStore): Store[] {
  return [
    new FileStore({ directory: './sessions' }),
    new RedisStore({ client: redis, prefix: 'shop:' }),
    new PostgresStore({ pool, table: 'sessions' }),
    new MemcachedStore({ servers: ['localhost:11211'] }),
    new CookieStore({ secret: 'x'.repeat(32) }),
    new ExpressStore({ store: old })
  ]
}

async function main (): Promise<void> {
  const app = buildApp()
  const first = await app.inject('/')
  const second = await app.inject({ url: '/', cookies: { sessionId: first.cookies[0]!.value } })
  const cart = await app.inject('/cart')
  console.log(second.body, cart.body)
  const cases = storeConformance({ createStore: () => new MemoryStore() })
  console.log(LockTimeoutError.name, everyStore.length, cases.length > 10)
  await app.close()
}

main()
