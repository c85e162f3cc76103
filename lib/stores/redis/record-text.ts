// A record as the scripts give it: a head of six lines (version, kind, createdAt, lastAccessedAt, expiresAt, user), then the data.
import type { SessionRecord } from '../../../types/store.js'

export interface Loaded { readonly record: SessionRecord, readonly version: string }

const LINES = 6

/** null: not readable. */
export function parseRecord (bytes: Buffer): Loaded | null {
  const text = bytes.toString()
  const lines: string[] = []
  let at = 0
  while (lines.length < LINES) {
    const end = text.indexOf('\n', at)
    if (end === -1) return null
    lines.push(text.slice(at, end))
    at = end + 1
  }
  const [version, kind, ...rest] = lines as [string, string, string, string, string, string]
  const [createdAt, lastAccessedAt, expiresAt] = [Number(rest[0]), Number(rest[1]), Number(rest[2])]
  const user = parseUser(rest[3])
  if (user === undefined || Number.isNaN(createdAt + lastAccessedAt + expiresAt)) return null
  const data = kind === 's' ? text.slice(at) : bytes.subarray(Buffer.byteLength(text.slice(0, at)))
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

export function headOf (version: string, { data, createdAt, lastAccessedAt, expiresAt, user }: SessionRecord): string {
  return `${version}\n${typeof data === 'string' ? 's' : 'b'}\n${createdAt}\n${lastAccessedAt}\n${expiresAt}\n${JSON.stringify(user)}\n`
}

export function dataOf ({ data }: SessionRecord): string | Buffer {
  return typeof data === 'string' ? data : Buffer.from(data.buffer, data.byteOffset, data.byteLength)
}
