// The clients of the application, by their shape: ioredis and iovalkey are one family, node-redis is the other.
import { quietly } from '../../awaitable.js'
import { isObject } from '../../options/check.js'
import type { Script } from './scripts.js'

export type Argument = string | Buffer

/** What the store needs of a client. */
export interface Connection {
  /** With more than one node, PUBLISH cannot tell whether somebody listens. */
  readonly cluster: boolean
  /** Texts in the answer are Buffers. */
  run (script: Script, keys: string[], args: Argument[]): Promise<unknown>
  /** Listens on a connection of its own; `onReady` after each reconnect. Resolves to what ends it. */
  subscribe (channel: string, onMessage: (message: Buffer) => void, onReady: () => void): Promise<() => Promise<void>>
  /** Keys that match, in portions; some may come twice. */
  scan (pattern: string): AsyncIterable<string[]>
}

/** ioredis or iovalkey: `new Redis()` or `new Redis.Cluster()`. */
export interface IoredisLike {
  evalsha (...args: any[]): Promise<unknown>
  duplicate (...args: any[]): unknown
  nodes? (role?: any): unknown[]
}

/** node-redis: `createClient()` or `createCluster()`, connected by the application. */
export interface NodeRedisLike {
  evalSha (...args: any[]): Promise<unknown>
  withTypeMapping (...args: any[]): unknown
  duplicate (...args: any[]): unknown
}

/** Not in the client's own types, but there. */
interface IoredisBuffers {
  evalshaBuffer (...args: unknown[]): Promise<unknown>
  evalBuffer (...args: unknown[]): Promise<unknown>
}

interface Scanner { scan (cursor: string, ...args: unknown[]): Promise<unknown> }

interface IoredisSubscriber {
  subscribe (channel: string): Promise<unknown>
  on (event: string, listener: (...args: any[]) => void): unknown
  disconnect (): void
}

interface NodeRedisSubscriber {
  connect (): Promise<unknown>
  subscribe (channel: string, listener: (message: Buffer) => void, bufferMode: true): Promise<unknown>
  on (event: string, listener: () => void): unknown
  destroy (): void
}

interface NodeRedisCommands {
  evalSha (sha: string, options: { keys: string[], arguments: Argument[] }): Promise<unknown>
  eval (text: string, options: { keys: string[], arguments: Argument[] }): Promise<unknown>
}

const SCAN_COUNT = 200
/** The type of a text in node-redis: the byte that introduces it on the wire, '$'. */
const BLOB_STRING = 36

export function connectionOf (client: unknown): Connection | null {
  if (!isObject(client)) return null
  if (typeof client.evalshaBuffer === 'function' && typeof client.duplicate === 'function') return ioredis(client as unknown as IoredisLike)
  if (typeof client.evalSha === 'function' && typeof client.withTypeMapping === 'function') return nodeRedis(client as unknown as NodeRedisLike)
  return null
}

function ioredis (client: IoredisLike): Connection {
  const cluster = typeof client.nodes === 'function'
  const keyPrefix = String((client as { options?: { keyPrefix?: string } }).options?.keyPrefix ?? '')
  const commands = client as unknown as IoredisBuffers
  return {
    cluster,
    run: (script, keys, args) => withFallback(
      commands.evalshaBuffer(script.sha, keys.length, ...keys, ...args),
      () => commands.evalBuffer(script.text, keys.length, ...keys, ...args)),
    async subscribe (channel, onMessage, onReady) {
      // The scripts publish without the client's keyPrefix.
      const own = { keyPrefix: '', lazyConnect: false }
      const subscriber = (cluster ? client.duplicate([], own) : client.duplicate(own)) as IoredisSubscriber
      subscriber.on('error', () => {}) // It connects again by itself.
      subscriber.on('messageBuffer', (_channel: Buffer, message: Buffer) => onMessage(message))
      subscriber.on('ready', onReady)
      await subscriber.subscribe(channel).catch((error: unknown) => {
        subscriber.disconnect()
        throw error
      })
      return async () => subscriber.disconnect()
    },
    async * scan (pattern) {
      const nodes = (client.nodes?.('master') ?? [client]) as Scanner[]
      for (const node of nodes) {
        let cursor = '0'
        do {
          const [next, keys] = await node.scan(cursor, 'MATCH', escapeGlob(keyPrefix) + pattern, 'COUNT', SCAN_COUNT) as [string, string[]]
          cursor = next
          yield keys.map(key => key.slice(keyPrefix.length))
        } while (cursor !== '0')
      }
    }
  }
}

function nodeRedis (client: NodeRedisLike): Connection {
  const { masters, nodeClient } = client as { masters?: unknown[], nodeClient?: (node: unknown) => unknown }
  const cluster = masters !== undefined
  const commands = client.withTypeMapping({ [BLOB_STRING]: Buffer }) as NodeRedisCommands
  return {
    cluster,
    run: (script, keys, args) => withFallback(
      commands.evalSha(script.sha, { keys, arguments: args }),
      () => commands.eval(script.text, { keys, arguments: args })),
    async subscribe (channel, onMessage, onReady) {
      const subscriber = client.duplicate() as NodeRedisSubscriber
      subscriber.on('error', () => {}) // It connects again by itself.
      subscriber.on('ready', onReady)
      try {
        await subscriber.connect()
        await subscriber.subscribe(channel, onMessage, true)
      } catch (error) {
        quietly(() => subscriber.destroy())
        throw error
      }
      return async () => quietly(() => subscriber.destroy())
    },
    async * scan (pattern) {
      const current = (client as { masters?: unknown[] }).masters
      const nodes = current === undefined ? [client] : await Promise.all(current.map(node => nodeClient!.call(client, node)))
      for (const node of nodes as Scanner[]) {
        let cursor = '0'
        do {
          const page = await node.scan(cursor, { MATCH: pattern, COUNT: SCAN_COUNT }) as { cursor: string, keys: string[] }
          cursor = String(page.cursor)
          yield page.keys
        } while (cursor !== '0')
      }
    }
  }
}

/** The server forgets scripts at a restart, a failover and SCRIPT FLUSH; EVAL teaches it again. */
function withFallback (bySha: Promise<unknown>, byText: () => Promise<unknown>): Promise<unknown> {
  return bySha.catch((error: unknown) => {
    if (error instanceof Error && error.message.startsWith('NOSCRIPT')) return byText()
    throw error
  })
}

export function escapeGlob (text: string): string {
  return text.replace(/[\\*?[\]]/g, '\\$&')
}
