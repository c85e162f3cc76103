// A session as statements take it, and as it comes in a row or in a notification.
import type { SessionRecord } from '../../../types/store.js'
import { TooLargeError } from '../../errors.js'
import type { Row } from './connection.js'

export interface Loaded {
  readonly record: SessionRecord
  readonly version: string
}

/** Throws `FST_SESSION_TOO_LARGE`: then the statement has left out the data. */
export function loadedFrom ({ head, data }: Row, maxSize: number): Loaded {
  const [version, isText, createdAt, lastAccessedAt, expiresAt, size, ...user] = (head as string).split(' ')
  if (Number(size) > maxSize) throw new TooLargeError(Number(size), maxSize)
  // Bytes in a row, base64 in a notification.
  const bytes = typeof data === 'string' ? Buffer.from(data, 'base64') : data as Buffer
  return {
    version: version!,
    record: {
      data: isText === '1' ? bytes.toString('utf8') : bytes,
      user: user.length > 0 ? user.join(' ').slice(1) : null,
      createdAt: Number(createdAt),
      lastAccessedAt: Number(lastAccessedAt),
      expiresAt: Number(expiresAt)
    }
  }
}

/** For a column of type bytea. pg sends any other Uint8Array as bytes only from version 8.14 on. */
export function bytesOf (data: SessionRecord['data']): Buffer {
  return typeof data === 'string' ? Buffer.from(data, 'utf8') : Buffer.from(data.buffer, data.byteOffset, data.byteLength)
}
