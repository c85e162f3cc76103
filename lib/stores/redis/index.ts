// Sessions in Redis or Valkey, for all processes on all hosts.
export { RedisStore, type RedisStoreOptions } from './redis-store.js'
export type { IoredisLike, NodeRedisLike } from './clients.js'
