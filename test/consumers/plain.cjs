// @ts-check
// An application in JavaScript, as CommonJS, checked through its JSDoc. Each entry point is required.
const Fastify = require('fastify')
const { sessionPlugin, MemoryStore, LockTimeoutError } = require('fastify-locked-session')
const { FileStore } = require('fastify-locked-session/file')
const { RedisStore } = require('fastify-locked-session/redis')
const { PostgresStore } = require('fastify-locked-session/postgres')
const { MemcachedStore } = require('fastify-locked-session/memcached')
const { CookieStore } = require('fastify-locked-session/cookie')
const { ExpressStore } = require('fastify-locked-session/express')
const { storeConformance } = require('fastify-locked-session/conformance')
const { fastifySession } = require('fastify-locked-session/compat')
const { version } = require('fastify-locked-session/package.json')

async function main () {
  const app = Fastify()
  app.register(sessionPlugin, { store: new MemoryStore() })
  app.get('/', async ({ session }) => ({ visits: session.set('visits', session.get('visits', 0) + 1).get('visits') }))
  // @ts-expect-error a directory is no number
  const mistake = () => new FileStore({ directory: 5 })
  const first = await app.inject('/')
  const second = await app.inject({ url: '/', cookies: { sessionId: first.cookies[0]?.value ?? '' } })
  // @ts-expect-error the secret is missing
  const incomplete = () => app.register(fastifySession, { rolling: false })
  const complete = () => app.register(fastifySession, { secret: 'x'.repeat(32), rolling: false })
  const values = [incomplete, complete, LockTimeoutError, FileStore, RedisStore, PostgresStore, MemcachedStore, CookieStore, ExpressStore, storeConformance, fastifySession, mistake]
  console.log(second.body, values.every(value => typeof value === 'function'), typeof version)
  await app.close()
}

main()
