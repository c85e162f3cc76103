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

  /** phpredis and Laravel as a store of the session plugin, which is what they are in PHP. */
  phpredis: async (app, port) => await unlocked(app, new LockingStore(await lockingRedis(port), phpredis)),
  laravel: async (app, port) => await unlocked(app, new LockingStore(await lockingRedis(port), laravel)),

  /** The floor: the same commands in two hooks, without a session. */
  'laravel-bare': async (app, port) => await bareCommands(app, await lockingRedis(port), laravel)
}

/** phpredis: SET NX until the lock is there, GET; SETEX after a look at the lock, and a script that deletes it. */
const phpredis = {
  async load (redis, key, token) {
    while (await redis.set(`${key}_LOCK`, token, 'EX', 30, 'NX') !== 'OK') await sleep(20)
    return await redis.get(key)
  },
  async save (redis, key, token, data) {
    if (await redis.get(`${key}_LOCK`) === token) await redis.setex(key, HOUR, data)
    await redis.unlock(`${key}_LOCK`, token)
  }
}

/** Laravel: the same without the look before the save, and a longer pause. */
const laravel = {
  async load (redis, key, token) {
    while (await redis.set(`${key}:lock`, token, 'EX', 10, 'NX') !== 'OK') await sleep(50)
    return await redis.get(key)
  },
  async save (redis, key, token, data) {
    await redis.setex(key, HOUR, data)
    await redis.unlock(`${key}:lock`, token)
  }
}

const UNLOCK = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) else return 0 end"

async function lockingRedis (port) {
  const { Redis } = await import('ioredis')
  const redis = new Redis({ port, host: '127.0.0.1' })
  redis.defineCommand('unlock', { numberOfKeys: 1, lua: UNLOCK })
  return redis
}

/** A session is read by one request at a time, so its key is enough to find the token again. */
class LockingStore {
  #redis
  #pattern
  #tokens = new Map()

  constructor (redis, pattern) {
    this.#redis = redis
    this.#pattern = pattern
  }

  get (id, callback) {
    const token = randomUUID()
    this.#pattern.load(this.#redis, id, token).then((data) => {
      this.#tokens.set(id, token)
      callback(null, data === null ? null : JSON.parse(data))
    }, callback)
  }

  set (id, session, callback) {
    const data = JSON.stringify(session)
    const token = this.#tokens.get(id)
    this.#tokens.delete(id)
    const saved = token === undefined ? this.#redis.setex(id, HOUR, data) : this.#pattern.save(this.#redis, id, token, data)
    saved.then(() => callback(), callback)
  }

  destroy (id, callback) {
    this.#redis.del(id).then(() => callback(), callback)
  }
}

async function bareCommands (app, redis, pattern) {
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
