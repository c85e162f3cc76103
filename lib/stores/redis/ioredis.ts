// ioredis, and iovalkey, which descends from it: a single server, Sentinel, or a cluster.
import { type Argument, type Connection, escapeGlob, SCAN_COUNT } from './connection.js'

/** A client of ioredis or iovalkey: `new Redis()`, also with `sentinels`, or `new Redis.Cluster()`. */
export interface IoredisLike {
  evalsha (sha: string, keys: number, ...args: Argument[]): Promise<unknown>
  /** A server and a cluster take different things here. */
  duplicate (...overrides: never[]): unknown
}

/** What it can do beside. */
interface Client {
  readonly options?: { readonly keyPrefix?: string }
  evalshaBuffer (sha: string, keys: number, ...args: Argument[]): Promise<unknown>
  evalBuffer (text: string, keys: number, ...args: Argument[]): Promise<unknown>
  duplicate (...overrides: unknown[]): Subscriber
  /** Only a cluster has it. */
  nodes? (role: 'master'): Node[]
}

interface Node {
  scan (cursor: string, ...options: Array<string | number>): Promise<[next: string, keys: string[]]>
}

interface Subscriber {
  subscribe (channel: string): Promise<unknown>
  on (event: 'messageBuffer', listener: (channel: Buffer, message: Buffer) => void): unknown
  on (event: 'error' | 'close' | 'ready', listener: () => void): unknown
  disconnect (): void
}

export function ioredis (given: IoredisLike): Connection {
  const client = given as unknown as Client & Node
  const cluster = typeof client.nodes === 'function'
  const keyPrefix = client.options?.keyPrefix ?? ''
  return {
    cluster,
    evalSha: (sha, keys, args) => client.evalshaBuffer(sha, keys.length, ...keys, ...args),
    eval: (text, keys, args) => client.evalBuffer(text, keys.length, ...keys, ...args),
    async subscribe (channel, on) {
      // The scripts publish without the client's keyPrefix. To subscribe again is our job, because ioredis does not catch
      // the error when the connection breaks meanwhile. A cluster does it by itself.
      const own = { keyPrefix: '', lazyConnect: false, autoResubscribe: false }
      const subscriber = cluster ? client.duplicate([], own) : client.duplicate(own)
      subscriber.on('error', () => {}) // It connects again by itself.
      subscriber.on('messageBuffer', (_channel, message) => on.message(message))
      subscriber.on('close', on.lost)
      await subscriber.subscribe(channel).catch((error: unknown) => {
        subscriber.disconnect()
        throw error
      })
      subscriber.on('ready', () => { subscriber.subscribe(channel).then(on.back, () => {}) })
      return async () => subscriber.disconnect()
    },
    async * scan (pattern) {
      for (const node of client.nodes?.('master') ?? [client]) {
        let cursor = '0'
        do {
          const [next, keys] = await node.scan(cursor, 'MATCH', escapeGlob(keyPrefix) + pattern, 'COUNT', SCAN_COUNT)
          cursor = next
          yield keys.map(key => key.slice(keyPrefix.length))
        } while (cursor !== '0')
      }
    }
  }
}
