import { randomBytes } from 'node:crypto'
import { EventEmitter } from 'node:events'
import cookie from '@fastify/cookie'
import fastifySession from '@fastify/session'
import sessionFileStore from 'session-file-store'

const SECRET = 'a secret of at least thirty-two characters'
export const COOKIE = { path: '/', httpOnly: true, sameSite: 'lax', secure: false }
const HOUR = 60 * 60 * 1000

/** 200 requests in flight on one session are more than the default queue of 50. */
export const QUEUE = { maxWaiters: 1000 }

/**
 * Each contestant sets up an application and says how its counter is read and written.
 * The package under test is imported where it is used: the peers run without it.
 */
export const contestants = {
  /** The ceiling: cookies are parsed, the counter lives in a Map, there is no session. */
  async bare (app) {
    await app.register(cookie)
    const counters = new Map()
    return {
      read: (request) => counters.get(request.cookies.sessionId) ?? 0,
      write (request, reply, n) {
        let id = request.cookies.sessionId
        if (id === undefined) {
          id = randomBytes(24).toString('base64url')
          reply.setCookie('sessionId', id, COOKIE)
        }
        counters.set(id, n)
      }
    }
  },

  async memory (app) {
    const { default: sessionPlugin, MemoryStore } = await import('fastify-locked-session')
    await app.register(sessionPlugin, { store: new MemoryStore(), cookie: COOKIE, ...QUEUE })
    return ours
  },

  async 'memory-signed' (app) {
    const { default: sessionPlugin, MemoryStore } = await import('fastify-locked-session')
    await app.register(sessionPlugin, { store: new MemoryStore(), cookie: COOKIE, secret: SECRET, ...QUEUE })
    return ours
  },

  async file (app, directory) {
    const { default: sessionPlugin } = await import('fastify-locked-session')
    const { FileStore } = await import('fastify-locked-session/file')
    await app.register(sessionPlugin, { store: new FileStore({ directory }), cookie: COOKIE, ...QUEUE })
    return ours
  },

  async compat (app) {
    const { default: compat } = await import('fastify-locked-session/compat')
    await app.register(cookie)
    await app.register(compat, { ...theirOptions(), ...QUEUE })
    return theirs
  },

  async 'fastify-session' (app) {
    await app.register(cookie)
    await app.register(fastifySession, theirOptions())
    return theirs
  },

  /** retries: 0 favours it: a session that is not there is reported at once, not five attempts later. */
  async 'session-file-store' (app, directory) {
    const FileStore = sessionFileStore({ Store: EventEmitter })
    const store = new FileStore({ path: directory, ttl: HOUR / 1000, retries: 0, logFn () {} })
    await app.register(cookie)
    await app.register(fastifySession, { ...theirOptions(), store })
    return theirs
  }
}

export const ours = {
  read: (request) => request.session.get('n', 0),
  write (request, reply, n) { request.session.set('n', n) }
}

export const theirs = {
  read: (request) => request.session.get('n') ?? 0,
  write (request, reply, n) { request.session.set('n', n) }
}

/** @fastify/session insists on a secret. A session without data is not saved, as with ours. */
export function theirOptions () {
  return { secret: SECRET, saveUninitialized: false, cookie: { ...COOKIE, maxAge: HOUR } }
}
