// What the store needs of a client, whichever it is.
import type { Script } from './lua.js'

export type Argument = string | Buffer

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
