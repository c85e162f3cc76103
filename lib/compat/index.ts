// Drop-in for @fastify/session: the same options, the same session, and a lock around it.
import fp from 'fastify-plugin'
import { MemoryStore } from './memory-store.js'
import { compatPlugin } from './plugin.js'
import type { FastifySessionOptions } from './types.js'

// The name is that of the plugin it replaces, because others name it as what they depend on.
const plugin = fp<FastifySessionOptions>(compatPlugin, { fastify: '5.x', name: '@fastify/session' })

export const fastifySession = Object.assign(plugin, { MemoryStore, Store: MemoryStore })
export default fastifySession

export { MemoryStore, MemoryStore as Store } from './memory-store.js'
export type { CookieOptions } from './cookie.js'
export type { Callback, CallbackSession, FastifySessionObject, FastifySessionOptions, SessionStore } from './types.js'
