// The clients of the application, by their shape: ioredis and iovalkey are one family, node-redis is the other.
import { isObject } from '../../options/check.js'
import { ioredis, type IoredisLike } from './ioredis.js'
import type { Script } from './lua.js'
import { nodeRedis, type NodeRedisLike } from './node-redis.js'

export type Argument = string | Buffer

/** What the store needs of a client. */
export interface Connection {
  /** With more than one node, PUBLISH cannot tell whether somebody listens. */
  readonly cluster: boolean
  /** Texts in the answer are Buffers. */
  run (script: Script, keys: string[], args: Argument[]): Promise<unknown>
  /** Listens on a connection of its own, which connects and subscribes again by itself. Resolves to what ends it. */
  subscribe (channel: string, on: Listener): Promise<() => Promise<void>>
  /** Keys that match, in portions; some may come twice. */
  scan (pattern: string): AsyncIterable<string[]>
}

export interface Listener {
  message (message: Buffer): void
  /** The connection is broken. A cluster's client does not tell. */
  lost (): void
  /** It is there again. */
  back (): void
}

export function connectionOf (client: unknown): Connection | null {
  if (!isObject(client)) return null
  const has = (...names: string[]): boolean => names.every(name => typeof client[name] === 'function')
  if (has('evalsha', 'evalshaBuffer', 'duplicate')) return ioredis(client as unknown as IoredisLike)
  if (has('evalSha', 'withTypeMapping', 'duplicate')) return nodeRedis(client as unknown as NodeRedisLike)
  return null
}

/** The server forgets scripts at a restart, a failover and SCRIPT FLUSH; EVAL teaches it again. */
export async function withFallback (bySha: () => Promise<unknown>, byText: () => Promise<unknown>): Promise<unknown> {
  try {
    return await bySha()
  } catch (error) {
    if (error instanceof Error && error.message.startsWith('NOSCRIPT')) return await byText()
    throw error
  }
}

export function escapeGlob (text: string): string {
  return text.replace(/[\\*?[\]]/g, '\\$&')
}

/** How many keys a step of SCAN looks at. */
export const SCAN_COUNT = 200
