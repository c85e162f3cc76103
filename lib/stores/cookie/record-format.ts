// A session as bytes: a line of JSON with what the plugin knows of it, then the data as they were encoded. The data
// are not put into the JSON, because quoting them would make the cookie a fifth larger.
import type { SessionRecord } from '../../../types/store.js'
import { isObject } from '../../options/check.js'

interface Head {
  id: string
  created: number
  used: number
  ends: number
  user?: string
  /** The data are bytes, not a text. */
  bytes?: true
}

export function encodeRecord (id: string, { data, createdAt, lastAccessedAt, expiresAt, user }: SessionRecord): Uint8Array {
  const head: Head = { id, created: createdAt, used: lastAccessedAt, ends: expiresAt }
  if (user !== null) head.user = user
  if (typeof data !== 'string') head.bytes = true
  return Buffer.concat([Buffer.from(`${JSON.stringify(head)}\n`), Buffer.from(data as string)])
}

/** null: not of this format. Only what was encrypted with our secret comes here, so that is a cookie of another version. */
export function decodeRecord (plain: Uint8Array): { id: string, record: SessionRecord } | null {
  const bytes = Buffer.from(plain.buffer, plain.byteOffset, plain.byteLength)
  const end = bytes.indexOf('\n')
  let head: unknown
  try {
    head = JSON.parse(bytes.toString('utf8', 0, Math.max(end, 0)))
  } catch {
    return null
  }
  if (!isHead(head)) return null
  const data = bytes.subarray(end + 1)
  return {
    id: head.id,
    record: {
      data: head.bytes === true ? new Uint8Array(data) : data.toString(),
      createdAt: head.created,
      lastAccessedAt: head.used,
      expiresAt: head.ends,
      user: head.user ?? null
    }
  }
}

function isHead (value: unknown): value is Head {
  return isObject(value) && typeof value.id === 'string' && [value.created, value.used, value.ends].every(Number.isFinite)
}
