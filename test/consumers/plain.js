// @ts-check
// An application in JavaScript, as an ES module, checked through its JSDoc.
import Fastify from 'fastify'
import sessionPlugin, { MemoryStore } from 'fastify-locked-session'
import { FileStore } from 'fastify-locked-session/file'

/** @type {import('fastify-locked-session').SessionPluginOptions} */
const options = { store: new MemoryStore(), idleTimeout: 60_000 }

/** @param {import('fastify-locked-session').Store} store */
const scopeOf = store => store.scope

const app = Fastify()
await app.register(sessionPlugin, options)
app.get('/', async (request) => ({ visits: request.session.set('visits', request.session.get('visits', 0) + 1).get('visits') }))

// @ts-expect-error a directory is no number
export const mistake = () => new FileStore({ directory: 5 })

const first = await app.inject('/')
const second = await app.inject({ url: '/', cookies: { sessionId: first.cookies[0]?.value ?? '' } })
console.log(second.body, scopeOf(new MemoryStore()))
await app.close()
