// Drop-in for @fastify/session: the same options, the same session, and a lock around it.
import fp from 'fastify-plugin'
import { MemoryStore } from './memory-store.js'
import { compatPlugin } from './plugin.js'
import type * as types from './types.js'
import type { CookieOptions as Cookie } from './cookie.js'

// The name is that of the plugin it replaces, because others name it as what they depend on.
const plugin = fp<types.FastifySessionOptions>(compatPlugin, { fastify: '5.x', name: '@fastify/session' })

export const fastifySession = Object.assign(plugin, { MemoryStore, Store: MemoryStore })
/** The types, for those who come by require(): they get this object and not the module. */
// eslint-disable-next-line @typescript-eslint/no-redeclare -- one name, with a value and with types
export declare namespace fastifySession {
  type CookieOptions = Cookie
  type FastifySessionObject = types.FastifySessionObject
  type FastifySessionOptions = types.FastifySessionOptions
  type MemoryStore = Store
  type SessionStore = types.SessionStore
  type Store = InstanceType<typeof MemoryStore>
}

// The old plugin is its own default export and a property of itself, and code relies on either.
Object.assign(fastifySession, { default: fastifySession, fastifySession })

export default fastifySession
// What require() gives.
export { fastifySession as 'module.exports' }

export { MemoryStore, MemoryStore as Store } from './memory-store.js'
export type { CookieOptions } from './cookie.js'
export type { Callback, CallbackSession, FastifySessionObject, FastifySessionOptions, SessionStore } from './types.js'
