// The entry point fastify-locked-session/memcached.
export { MemcachedStore, type MemcachedStoreOptions } from './memcached-store.js'
