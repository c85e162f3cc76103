// What the store needs of a client, whichever it is.
export type Argument = string | Buffer

export interface Connection {
  /** With more than one node, PUBLISH cannot tell whether somebody listens. */
  readonly cluster: boolean
  /** Both run a script. Texts in the answer are Buffers. */
  evalSha (sha: string, keys: string[], args: Argument[]): Promise<unknown>
  eval (text: string, keys: string[], args: Argument[]): Promise<unknown>
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

export function escapeGlob (text: string): string {
  return text.replace(/[\\*?[\]]/g, '\\$&')
}

/** How many keys a step of SCAN looks at. */
export const SCAN_COUNT = 200
