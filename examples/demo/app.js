// Builds the demo's Fastify application: sessions in files, one page, a few forms, a race to watch.
// @ts-check
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import sessionPlugin from 'fastify-locked-session'
import { FileStore } from 'fastify-locked-session/file'
import { renderError, renderPage, STYLE_HASH } from './page.js'

// How long a counting request "works" between reading the counter and writing it.
const WORK_MS = 50
const FORM_LIMIT = 16 * 1024

const CLIENT_SCRIPT = readFileSync(new URL('./client.js', import.meta.url), 'utf8')

const SECURITY_HEADERS = {
  'content-security-policy': [
    "default-src 'none'",
    "script-src 'self'",
    `style-src '${STYLE_HASH}'`,
    "connect-src 'self'",
    'img-src data:',
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'"
  ].join('; '),
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store'
}

// A route without a session: no cookie is read, no file opened, no lock taken.
const NO_SESSION = { config: { session: false } }

/** @param {Record<string, object>} properties */
const form = (properties) => ({
  schema: { body: { type: 'object', required: Object.keys(properties), properties } }
})
const KEY = { type: 'string', minLength: 1, maxLength: 100 }
const VALUE = { type: 'string', maxLength: 1000 }
// At least one character that is not a space.
const NAME = { type: 'string', maxLength: 100, pattern: '\\S' }

/**
 * @param {{ directory: string, logger?: any }} options
 * @returns {import('fastify').FastifyInstance<any, any, any, any>}
 */
export function buildDemo ({ directory, logger = false }) {
  const app = Fastify({ logger })

  // Before the session plugin, so that its own refusals carry the headers too.
  app.addHook('onRequest', async (request, reply) => {
    reply.headers(SECURITY_HEADERS)
  })
  app.addContentTypeParser('application/x-www-form-urlencoded',
    { parseAs: 'string', bodyLimit: FORM_LIMIT },
    (request, body, done) => {
      done(null, Object.fromEntries(new URLSearchParams(String(body))))
    })
  app.setErrorHandler(answerError)

  app.register(sessionPlugin, { store: new FileStore({ directory }) })
  app.register(pageRoutes)
  app.register(counterRoutes)
  return app
}

/** @param {any} app */
async function pageRoutes (app) {
  app.get('/', async (request, reply) => {
    const { session } = request
    session.set('visits', toCount(session.get('visits', 0)) + 1)
    reply.type('text/html; charset=utf-8')
    return renderPage({ session, stats: flatten(await app.sessions.stats()), workMs: WORK_MS })
  })

  app.get('/app.js', NO_SESSION, async (request, reply) => {
    reply.type('text/javascript; charset=utf-8')
    return CLIENT_SCRIPT
  })

  app.get('/stats', NO_SESSION, async () => flatten(await app.sessions.stats()))

  // Every change is a POST: browsers send no SameSite=Lax cookie with another site's POST.
  // 303 makes them fetch the page afterwards, so that reloading it repeats nothing.
  app.post('/data', form({ key: KEY, value: VALUE }), async (request, reply) => {
    request.session.set(request.body.key, request.body.value)
    return reply.redirect('/', 303)
  })

  app.post('/data/remove', form({ key: KEY }), async (request, reply) => {
    request.session.delete(request.body.key)
    return reply.redirect('/', 303)
  })

  app.post('/login', form({ name: NAME }), async (request, reply) => {
    const { session } = request
    // A new id at every login: whoever planted or saw the old one has nothing (session fixation).
    await session.regenerate(['visits'])
    session.setUser(request.body.name.trim())
    return reply.redirect('/', 303)
  })

  app.post('/logout', async (request, reply) => {
    await request.session.destroy()
    return reply.redirect('/', 303)
  })
}

/** @param {any} app */
async function counterRoutes (app) {
  app.get('/counter', { config: { session: { locking: 'readonly' } } }, async (request) => {
    return { counter: toCount(request.session.get('counter', 0)) }
  })

  // Read, work and write all happen under the lock: the next request reads what this one wrote.
  app.post('/count/locked', { config: { session: { locking: 'implicit' } } }, async (request) => {
    const counter = toCount(request.session.get('counter', 0))
    await sleep(WORK_MS)
    request.session.set('counter', counter + 1)
    return { counter: counter + 1 }
  })

  // Wrong on purpose. The plugin refuses a write without the lock, so the write takes it, but the
  // value was read long before: whatever other requests wrote meanwhile is overwritten.
  app.post('/count/unlocked', { config: { session: { locking: 'explicit' } } }, async (request) => {
    const snapshot = toCount(request.session.get('counter', 0))
    await sleep(WORK_MS)
    return request.withSessionLock(async (session) => {
      session.set('counter', snapshot + 1)
      return { counter: snapshot + 1 }
    })
  })
}

/**
 * A page for people, Fastify's JSON for scripts.
 * @param {any} error
 * @param {import('fastify').FastifyRequest} request
 * @param {import('fastify').FastifyReply} reply
 */
function answerError (error, request, reply) {
  if (!request.headers.accept?.includes('text/html')) return reply.send(error)
  const status = error.statusCode >= 400 ? error.statusCode : 500
  if (status >= 500) request.log.error(error)
  // Retry-After of a request that waited too long for the lock.
  if (error.headers) reply.headers(error.headers)
  const message = status < 500 ? error.message : 'The server could not answer. Please try again.'
  return reply.code(status).type('text/html; charset=utf-8').send(renderError(status, message))
}

/**
 * The form can store any text under a counter's name; what is no count starts again at 0.
 * @param {unknown} value
 */
function toCount (value) {
  const count = Number(value)
  return Number.isSafeInteger(count) ? count : 0
}

/**
 * `{ lock: { waiting: 1 } }` becomes `{ 'lock.waiting': 1 }`, whatever the counters are called.
 * @param {object} counters
 * @param {string} [prefix]
 * @returns {Record<string, string | number>}
 */
function flatten (counters, prefix = '') {
  return Object.assign({}, ...Object.entries(counters).map(([name, value]) => {
    if (typeof value === 'object' && value !== null) return flatten(value, `${prefix}${name}.`)
    // Three decimals are enough for milliseconds; JSON knows no Infinity and no bigint.
    const shown = Number.isFinite(value) ? Math.round(value * 1000) / 1000 : String(value)
    return { [prefix + name]: shown }
  }))
}
