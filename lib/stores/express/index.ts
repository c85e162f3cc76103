// The entry point 'fastify-locked-session/express'.
export { ExpressStore, type ExpressStoreOptions } from './express-store.js'
export type { ExpressSessionStore } from './callback-store.js'
