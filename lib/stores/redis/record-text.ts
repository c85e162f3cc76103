// A record as the scripts give it: version, kind, createdAt, lastAccessedAt, expiresAt and user in a line each, then the data.
import type { SessionRecord } from '../../../types/store.js'

export interface Loaded { readonly record: SessionRecord, readonly version: string }

const LINES = 6
const NEWLINE = 10

/** null: not readable. */
export function parseRecord (bytes: Buffer): Loaded | null {
  const lines: string[] = []
  let at = 0
  while (lines.length < LINES) {
    const end = bytes.indexOf(NEWLINE, at)
    if (end === -1) return null
    lines.push(bytes.toString('utf8', at, end))
    at = end + 1
  }
  const [version, kind, ...rest] = lines as [string, string, string, string, string, string]
  const [createdAt, lastAccessedAt, expiresAt] = rest.slice(0, 3).map(Number) as [number, number, number]
  const user = parseUser(rest[3]!)
  if (user === undefined || [createdAt, lastAccessedAt, expiresAt].some(Number.isNaN)) return null
  const data = kind === 's' ? bytes.toString('utf8', at) : bytes.subarray(at)
  return { version, record: { data, user, createdAt, lastAccessedAt, expiresAt } }
}

function parseUser (json: string): string | null | undefined {
  try {
    const user: unknown = JSON.parse(json)
    return user === null || typeof user === 'string' ? user : undefined
  } catch {
    return undefined
  }
}

/** The fields k, d and u of the hash. */
export function kindOf ({ data }: SessionRecord): string {
  return typeof data === 'string' ? 's' : 'b'
}

export function dataOf ({ data }: SessionRecord): string | Buffer {
  return typeof data === 'string' ? data : Buffer.from(data.buffer, data.byteOffset, data.byteLength)
}

export function userOf ({ user }: SessionRecord): string {
  return JSON.stringify(user)
}
