import { randomBytes, randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import cookie from '@fastify/cookie'
import fastifySession from '@fastify/session'
import { COOKIE, ours, QUEUE, theirOptions, theirs } from './contestants.js'

const HOUR = 3600

/** Ours, each on a client as an application would make it. */
export const networkStores = {
  async redis (port) {
    const { RedisStore } = await import('fastify-locked-session/redis')
    const { Redis } = await import('ioredis')
    return new RedisStore({ client: new Redis({ port, host: '127.0.0.1' }) })
  },

  async postgres (port) {
    const { PostgresStore } = await import('fastify-locked-session/postgres')
    return new PostgresStore({ pool: await postgresPool(port) })
  }
}

async function postgresPool (port) {
  const { default: pg } = await import('pg')
  return new pg.Pool({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres', max: 10 })
}

async function locked (app, store) {
  const { default: sessionPlugin } = await import('fastify-locked-session')
  await app.register(sessionPlugin, { store, cookie: COOKIE, ...QUEUE })
  return ours
}

async function unlocked (app, store) {
  await app.register(cookie)
  await app.register(fastifySession, { ...theirOptions(), store })
  return theirs
}

export const networkContestants = {
  redis: async (app, port) => await locked(app, await networkStores.redis(port)),
  postgres: async (app, port) => await locked(app, await networkStores.postgres(port)),

  async 'connect-redis' (app, port) {
    const { RedisStore } = await import('connect-redis')
    const { createClient } = await import('redis')
    const client = createClient({ socket: { host: '127.0.0.1', port } })
    await client.connect()
    return await unlocked(app, new RedisStore({ client }))
  },

  async 'connect-pg-simple' (app, port) {
    const [{ default: connect }, { default: expressSession }] = await Promise.all([import('connect-pg-simple'), import('express-session')])
    const Store = connect(expressSession)
    return await unlocked(app, new Store({ pool: await postgresPool(port), createTableIfMissing: true, pruneSessionInterval: false }))
  },

  /** phpredis: SET NX until the lock is there, GET; SETEX after a look at the lock, and a script that deletes it. */
  phpredis: async (app, port) => await commandPattern(app, port, {
    retry: 20,
    async load (redis, key, token) {
      const isFree = async () => await redis.set(`${key}_LOCK`, token, 'EX', 30, 'NX') === 'OK'
      while (!await isFree()) await sleep(this.retry)
      return await redis.get(key)
    },
    async save (redis, key, token, data) {
      if (await redis.get(`${key}_LOCK`) === token) await redis.setex(key, HOUR, data)
      await redis.unlock(`${key}_LOCK`, token)
    }
  }),

  /** Laravel: the same without the look before the save, and a longer pause. */
  laravel: async (app, port) => await commandPattern(app, port, {
    retry: 50,
    async load (redis, key, token) {
      while (await redis.set(`${key}:lock`, token, 'EX', 10, 'NX') !== 'OK') await sleep(this.retry)
      return await redis.get(key)
    },
    async save (redis, key, token, data) {
      await redis.setex(key, HOUR, data)
      await redis.unlock(`${key}:lock`, token)
    }
  })
}

const UNLOCK = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) else return 0 end"

/** What a locked session of another system asks of Redis, under the same hooks as a session plugin. */
async function commandPattern (app, port, pattern) {
  const { Redis } = await import('ioredis')
  const redis = new Redis({ port, host: '127.0.0.1' })
  redis.defineCommand('unlock', { numberOfKeys: 1, lua: UNLOCK })
  await app.register(cookie)
  app.decorateRequest('locked', null)
  app.addHook('onRequest', async (request) => {
    const id = request.cookies.sessionId
    if (id === undefined) return
    const token = randomUUID()
    const data = await pattern.load(redis, id, token)
    request.locked = { id, token, data: JSON.parse(data ?? '{}') }
  })
  app.addHook('onSend', async (request, reply) => {
    if (request.locked !== null) return await pattern.save(redis, request.locked.id, request.locked.token, JSON.stringify(request.locked.data))
    if (request.begun === undefined) return
    const id = randomBytes(24).toString('base64url')
    await redis.setex(id, HOUR, JSON.stringify({ n: request.begun }))
    reply.setCookie('sessionId', id, COOKIE)
  })
  app.decorateRequest('begun', undefined)
  return {
    read: (request) => request.locked?.data.n ?? 0,
    write (request, reply, n) {
      if (request.locked === null) request.begun = n
      else request.locked.data.n = n
    }
  }
}
