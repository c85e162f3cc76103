// node-redis: a single server, Sentinel, or a cluster.
import { quietly } from '../../awaitable.js'
import { type Argument, type Connection, SCAN_COUNT } from './connection.js'

/** A client of node-redis: `createClient()`, `createSentinel()` or `createCluster()`, connected by the application. */
export interface NodeRedisLike {
  evalSha (sha: string, options: ScriptArguments): Promise<unknown>
  withTypeMapping (mapping: Record<number, unknown>): unknown
  duplicate (): unknown
}

interface ScriptArguments { keys: string[], arguments: Argument[] }

interface Commands {
  evalSha (sha: string, options: ScriptArguments): Promise<unknown>
  eval (text: string, options: ScriptArguments): Promise<unknown>
}

/** What it can do beside. */
interface Client {
  duplicate (): Subscriber
  /** Only a cluster has these two. */
  readonly masters?: unknown[]
  nodeClient? (node: unknown): Node | Promise<Node>
}

interface Node {
  scan (cursor: string, options: { MATCH: string, COUNT: number }): Promise<{ cursor: string | number, keys: string[] }>
}

interface Subscriber {
  connect (): Promise<unknown>
  subscribe (channel: string, listener: (message: Buffer) => void, bufferMode: true): Promise<unknown>
  on (event: 'error' | 'reconnecting' | 'ready', listener: () => void): unknown
  destroy (): void
}

/** The type of a text in node-redis: the byte that introduces it on the wire, '$'. */
const BLOB_STRING = 36

export function nodeRedis (given: NodeRedisLike): Connection {
  const client = given as unknown as Client & Node
  const commands = given.withTypeMapping({ [BLOB_STRING]: Buffer }) as Commands
  return {
    cluster: client.masters !== undefined,
    evalSha: (sha, keys, args) => commands.evalSha(sha, { keys, arguments: args }),
    eval: (text, keys, args) => commands.eval(text, { keys, arguments: args }),
    async subscribe (channel, on) {
      const subscriber = client.duplicate()
      subscriber.on('error', () => {}) // It connects again by itself.
      try {
        await subscriber.connect()
        await subscriber.subscribe(channel, on.message, true)
      } catch (error) {
        quietly(() => subscriber.destroy())
        throw error
      }
      subscriber.on('reconnecting', on.lost)
      subscriber.on('ready', on.back)
      return async () => quietly(() => subscriber.destroy())
    },
    async * scan (pattern) {
      // Asked each time: which nodes are masters may change.
      const nodes = client.masters === undefined ? [client] : await Promise.all(client.masters.map(async node => await client.nodeClient!(node)))
      for (const node of nodes) {
        let cursor = '0'
        do {
          const page = await node.scan(cursor, { MATCH: pattern, COUNT: SCAN_COUNT })
          cursor = String(page.cursor)
          yield page.keys
        } while (cursor !== '0')
      }
    }
  }
}
