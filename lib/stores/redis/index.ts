// Sessions in Redis or Valkey, for all processes on all hosts.
export { RedisStore, type RedisStoreOptions } from './redis-store.js'
export type { IoredisLike } from './ioredis.js'
export type { NodeRedisLike } from './node-redis.js'
