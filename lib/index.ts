// The public face of the package.
import fp from 'fastify-plugin'
import type { SessionPluginOptions } from '../types/options.js'
import { sessionPlugin as plugin } from './plugin.js'

/** The plugin: `await app.register(sessionPlugin, options)`. */
export const sessionPlugin = fp<SessionPluginOptions>(plugin, { fastify: '5.x', name: 'fastify-locked-session' })
export default sessionPlugin

export * from './errors.js'
export { MemoryStore, type MemoryStoreOptions } from './stores/memory.js'
export type { SessionManager } from './manager.js'
export type { Session } from './session/session.js'
export type { SessionStats } from './session/session-context.js'
export type { LockStats } from './lock/lock-stats.js'
export type * from '../types/fastify.js'
export type * from '../types/options.js'
export type * from '../types/session.js'
export type * from '../types/store.js'
