// Drop-in for @fastify/session: the same options, the same session, and a lock around it.
import fp from 'fastify-plugin'
import { MemoryStore } from './memory-store.js'
import { compatPlugin } from './plugin.js'
import type { FastifySessionOptions } from './types.js'

// The name is that of the plugin it replaces, because others name it as what they depend on.
const plugin = fp<FastifySessionOptions>(compatPlugin, { fastify: '5.x', name: '@fastify/session' })

export const fastifySession = Object.assign(plugin, { MemoryStore, Store: MemoryStore })
// The old plugin is its own default export and a property of itself, and code relies on either.
Object.assign(fastifySession, { default: fastifySession, fastifySession })

export default fastifySession
// What require() gives.
export { fastifySession as 'module.exports' }

export { MemoryStore, MemoryStore as Store } from './memory-store.js'
export type { CookieOptions } from './cookie.js'
export type { Callback, CallbackSession, FastifySessionObject, FastifySessionOptions, SessionStore } from './types.js'
