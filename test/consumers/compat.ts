// An application of @fastify/session in TypeScript that has changed its import, with the clients that it already has.
// A program of its own: it augments other types than app.ts, and only here the clients' packages are installed.
import { MemoryStore as ExpressMemoryStore } from 'express-session'
import Fastify, { type FastifyInstance } from 'fastify'
import fastifySession, { type FastifySessionOptions, MemoryStore } from 'fastify-locked-session/compat'
import { ExpressStore } from 'fastify-locked-session/express'
import { PostgresStore } from 'fastify-locked-session/postgres'
import { RedisStore } from 'fastify-locked-session/redis'
import { Cluster, Redis } from 'ioredis'
import pg from 'pg'
import { createClient } from 'redis'

declare module 'fastify' {
  interface Session {
    user?: { id: number }
  }
}

const options: FastifySessionOptions = { secret: 'x'.repeat(32), store: new MemoryStore(), cookie: { secure: false, maxAge: 60_000 } }

/** The clients as their own types describe them. None of them connects before it is used. */
const redis = new Redis({ lazyConnect: true })
const stores = [
  new RedisStore({ client: redis }),
  new RedisStore({ client: createClient() }),
  new PostgresStore({ pool: new pg.Pool({ max: 5 }) }),
  new ExpressStore({ store: new ExpressMemoryStore(), lock: new RedisStore({ client: redis }) })
]
export const onCluster = (cluster: Cluster) => new RedisStore({ client: cluster })

/** What must not compile. An error that is missing is an error, too. */
export function mistakes (app: FastifyInstance): void {
  app.get('/mistakes', async (request) => {
    // @ts-expect-error an id is a number
    request.session.user = { id: 'one' }
    // @ts-expect-error there is no such field
    request.session.usr = { id: 1 }
  })
  // @ts-expect-error the secret is missing
  app.register(fastifySession, { saveUninitialized: false })
  // @ts-expect-error a pool is no client of Redis
  console.log(new RedisStore({ client: new pg.Pool() }))
  // @ts-expect-error a client of Redis is no pool
  console.log(new PostgresStore({ pool: redis }))
}

async function main (): Promise<void> {
  const app = Fastify()
  app.register(fastifySession, options)
  app.get('/', async (request) => {
    const known: { id: number } | undefined = request.session.user
    request.session.user = { id: (known?.id ?? 0) + 1 }
    await request.session.save()
    return request.session.get('user')
  })
  const first = await app.inject('/')
  const second = await app.inject({ url: '/', cookies: { sessionId: first.cookies[0]!.value } })
  console.log(second.body, stores.map(({ scope }) => scope).join(' '))
  await app.close()
}

main()
