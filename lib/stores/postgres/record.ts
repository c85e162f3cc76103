// A session as it is in a row, and as it comes in a notification.
import type { SessionRecord } from '../../../types/store.js'
import type { Row } from './connection.js'

/** `data`: bytes in a row, base64 in a notification. pg gives bigint as text. */
export function recordOf (row: Row): SessionRecord {
  const bytes = typeof row.data === 'string' ? Buffer.from(row.data, 'base64') : row.data as Buffer
  return {
    data: row.is_text === true ? bytes.toString('utf8') : bytes,
    user: row.user_name as string | null,
    createdAt: Number(row.created_at),
    lastAccessedAt: Number(row.last_accessed_at),
    expiresAt: Number(row.expires_at)
  }
}

/** data, is_text, user_name, created_at, last_accessed_at, expires_at */
export function valuesOf ({ data, user, createdAt, lastAccessedAt, expiresAt }: SessionRecord): unknown[] {
  const isText = typeof data === 'string'
  // pg sends any other Uint8Array as bytes only from version 8.14 on.
  const bytes = isText ? Buffer.from(data, 'utf8') : Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  return [bytes, isText, user, createdAt, lastAccessedAt, expiresAt]
}
