// A session as memcached keeps it: a header of fixed size, the user, the data.
import { randomBytes } from 'node:crypto'
import type { SessionRecord } from '../../../types/store.js'
import { TooLargeError } from '../../errors.js'

const MAGIC = Buffer.from('FLM1')
const DATA_IS_BYTES = 1
const HAS_USER = 2
const VERSION_AT = 8
const VERSION_SIZE = 16
const TIMES_AT = VERSION_AT + VERSION_SIZE
export const HEADER_SIZE = TIMES_AT + 3 * 8

/** What an item costs the server beside its value: key, header, and what is lost in pages. Rather too much. */
const ITEM_OVERHEAD = 512
/** The session outlives its expiry on the server by so much (s): while it is locked it does not expire, and clocks differ. */
const SLACK = 60 * 60
/** Later times do not fit into the server's number. */
const LAST_TIME = 2 ** 31 - 1

export interface StoredRecord {
  record: SessionRecord
  /** Of this save alone. A CAS may come again after a restart of the server, this does not. */
  version: string
}

export function encodeRecord (record: SessionRecord): { bytes: Buffer, version: string } {
  const isText = typeof record.data === 'string'
  const data = isText ? Buffer.from(record.data as string) : record.data as Uint8Array
  const user = Buffer.from(record.user ?? '')
  const header = Buffer.alloc(HEADER_SIZE)
  MAGIC.copy(header)
  // Flags and the length of the user share four bytes.
  header.writeUInt32BE(user.length * 4 + (isText ? 0 : DATA_IS_BYTES) + (record.user === null ? 0 : HAS_USER), 4)
  const version = randomBytes(VERSION_SIZE)
  version.copy(header, VERSION_AT)
  for (const [index, time] of [record.createdAt, record.lastAccessedAt, record.expiresAt].entries()) {
    header.writeDoubleBE(time, TIMES_AT + index * 8)
  }
  return { bytes: Buffer.concat([header, user, data]), version: version.toString('hex') }
}

/** null: not a session. */
export function decodeRecord (bytes: Buffer): StoredRecord | null {
  if (bytes.length < HEADER_SIZE || !bytes.subarray(0, MAGIC.length).equals(MAGIC)) return null
  const flags = bytes.readUInt32BE(4)
  const dataAt = HEADER_SIZE + (flags >>> 2)
  if (dataAt > bytes.length) return null
  const [createdAt, lastAccessedAt, expiresAt] = [0, 8, 16].map(offset => bytes.readDoubleBE(TIMES_AT + offset)) as [number, number, number]
  const data = bytes.subarray(dataAt)
  return {
    version: bytes.toString('hex', VERSION_AT, TIMES_AT),
    record: {
      data: (flags & DATA_IS_BYTES) === 0 ? data.toString() : data,
      user: (flags & HAS_USER) === 0 ? null : bytes.toString('utf8', HEADER_SIZE, dataAt),
      createdAt,
      lastAccessedAt,
      expiresAt
    }
  }
}

/** When the server forgets the session, in s since the epoch (longer than 30 days can be said only so); 0: never. */
export function itemTTL ({ expiresAt }: SessionRecord): number {
  const end = Math.ceil(expiresAt / 1000) + SLACK
  return end <= LAST_TIME ? end : 0
}

/** Throws what a server with this item_size_max would refuse. It must not be sent: memcached deletes the old value then. */
export function assertFits (bytes: Buffer, maxItemSize: number): void {
  const limit = maxItemSize - ITEM_OVERHEAD
  if (bytes.length > limit) throw new TooLargeError(bytes.length, limit, 'this memcached server takes, by its item_size_max')
}
