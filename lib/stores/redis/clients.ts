// The clients of the application, by their shape: ioredis and iovalkey are one family, node-redis is the other.
import { isObject } from '../../options/check.js'
import type { Connection } from './connection.js'
import { ioredis, type IoredisLike } from './ioredis.js'
import { nodeRedis, type NodeRedisLike } from './node-redis.js'

export function connectionOf (client: unknown): Connection | null {
  if (!isObject(client)) return null
  const has = (...names: string[]): boolean => names.every(name => typeof client[name] === 'function')
  if (has('evalsha', 'evalshaBuffer', 'duplicate')) return ioredis(client as unknown as IoredisLike)
  if (has('evalSha', 'withTypeMapping', 'duplicate')) return nodeRedis(client as unknown as NodeRedisLike)
  return null
}
