// The bytes of a session file.
//
//   header   256 bytes: magic, slot size, the mark of those who wait, where the session moved to, who holds it
//   slot 0   header of 48 bytes, user, data
//   slot 1   the same
//
// The two slots are written in turn, each with a generation and a checksum. A crash in the middle of a write spoils
// the older slot only, so the last complete record is always there. (LMDB keeps its meta pages like this.)
import { crc32 } from 'node:zlib'
import type { SessionRecord } from '../../../types/store.js'

const MAGIC = 0x3153_4c46 // "FLS1", little-endian
export const HEADER_SIZE = 256
const SLOT_HEADER_SIZE = 48

/** Offsets in the header. */
const SLOT_SIZE_AT = 4
/** f64: since when another process waits, ms since the epoch; 0: nobody. Waiters write it without the lock. */
export const WANTED_AT = 8
/** u8: see MovedState; then the 32 bytes of the new key. */
export const MOVED_AT = 16
const MOVED_KEY_AT = 17
export const MOVED_SIZE = 33
/** u16 length and as many bytes of JSON: what holds the lock. */
export const HOLDER_AT = 64
const MAX_HOLDER_SIZE = HEADER_SIZE - HOLDER_AT - 2

const MOVED = 1
const MUST_NOT_FOLLOW = 2

/** Offsets in a slot's header. */
const CRC_AT = 0
const DATA_SIZE_AT = 4
const GENERATION_AT = 8
const CREATED_AT = 16
const ACCESSED_AT = 24
const EXPIRES_AT = 32
const USER_SIZE_AT = 40
const FLAGS_AT = 42
const FLAG_BINARY = 1
const FLAG_USER = 2

export interface StoredSlot {
  readonly record: SessionRecord
  /** Rises by one with each save. */
  readonly generation: number
  /** 0 or 1 */
  readonly slot: number
  readonly slotSize: number
  /** The session was regenerated, and a crash kept the file from being deleted. */
  readonly hasMoved: boolean
  /** The text about what holds the lock is there; a crash has left it if nobody does. */
  readonly isDescribed: boolean
}

/** Why a file is not a session: `empty` and `torn` are leftovers of crashes, `foreign` is none of ours. */
export type Unreadable = 'empty' | 'torn' | 'foreign'

/** A slot that holds the payload and leaves room to grow by half. */
export function slotSizeFor (payload: number): number {
  return Math.max(512, Math.ceil((SLOT_HEADER_SIZE + payload) * 1.5 / 256) * 256)
}

export function fits (payload: number, slotSize: number): boolean {
  return SLOT_HEADER_SIZE + payload <= slotSize
}

export function slotOffset (slot: number, slotSize: number): number {
  return HEADER_SIZE + slot * slotSize
}

export function payloadSize (record: SessionRecord): number {
  return byteLength(record.data) + (record.user === null ? 0 : Buffer.byteLength(record.user))
}

/** The bytes of one slot; a view into a buffer that the next call may overwrite when `shared` is given. */
export function encodeSlot (record: SessionRecord, payload: number, generation: number, shared?: Buffer): Buffer {
  const size = SLOT_HEADER_SIZE + payload
  const bytes = shared !== undefined && size <= shared.length ? shared : Buffer.allocUnsafe(size)
  const userSize = record.user === null ? 0 : bytes.write(record.user, SLOT_HEADER_SIZE)
  const dataAt = SLOT_HEADER_SIZE + userSize
  let flags = record.user === null ? 0 : FLAG_USER
  if (typeof record.data === 'string') {
    bytes.write(record.data, dataAt)
  } else {
    bytes.set(record.data, dataAt)
    flags |= FLAG_BINARY
  }
  bytes.writeUInt32LE(payload - userSize, DATA_SIZE_AT)
  bytes.writeDoubleLE(generation, GENERATION_AT)
  bytes.writeDoubleLE(record.createdAt, CREATED_AT)
  bytes.writeDoubleLE(record.lastAccessedAt, ACCESSED_AT)
  bytes.writeDoubleLE(record.expiresAt, EXPIRES_AT)
  bytes.writeUInt16LE(userSize, USER_SIZE_AT)
  bytes.writeUInt16LE(flags, FLAGS_AT)
  bytes.writeUInt32LE(0, FLAGS_AT + 2)
  const slot = bytes.length === size ? bytes : bytes.subarray(0, size)
  bytes.writeUInt32LE(crc32(slot.subarray(DATA_SIZE_AT)), CRC_AT)
  return slot
}

/** The bytes of a new file: header and slot 0. */
export function encodeFile (record: SessionRecord, generation: number): Buffer {
  const payload = payloadSize(record)
  const header = Buffer.alloc(HEADER_SIZE)
  header.writeUInt32LE(MAGIC, 0)
  header.writeUInt32LE(slotSizeFor(payload), SLOT_SIZE_AT)
  return Buffer.concat([header, encodeSlot(record, payload, generation)])
}

/** The newest complete record in the first `size` bytes, or why there is none. */
export function decodeFile (bytes: Buffer, size: number): StoredSlot | Unreadable {
  if (size === 0) return 'empty'
  if (size < 4 || bytes.readUInt32LE(0) !== MAGIC) return 'foreign'
  if (size < HEADER_SIZE + SLOT_HEADER_SIZE) return 'torn'
  const slotSize = bytes.readUInt32LE(SLOT_SIZE_AT)
  const first = generationOf(bytes, size, 0, slotSize)
  const second = generationOf(bytes, size, 1, slotSize)
  const newer = second > first ? 1 : 0
  return decodeSlot(bytes, size, newer, slotSize) ?? decodeSlot(bytes, size, 1 - newer, slotSize) ?? 'torn'
}

function generationOf (bytes: Buffer, size: number, slot: number, slotSize: number): number {
  const at = slotOffset(slot, slotSize)
  return at + SLOT_HEADER_SIZE <= size ? bytes.readDoubleLE(at + GENERATION_AT) : -1
}

function decodeSlot (bytes: Buffer, size: number, slot: number, slotSize: number): StoredSlot | null {
  const at = slotOffset(slot, slotSize)
  if (at + SLOT_HEADER_SIZE > size) return null
  const userSize = bytes.readUInt16LE(at + USER_SIZE_AT)
  const userAt = at + SLOT_HEADER_SIZE
  const dataAt = userAt + userSize
  const end = dataAt + bytes.readUInt32LE(at + DATA_SIZE_AT)
  if (end > size || end > at + slotSize) return null
  if (crc32(bytes.subarray(at + DATA_SIZE_AT, end)) !== bytes.readUInt32LE(at + CRC_AT)) return null
  const flags = bytes.readUInt16LE(at + FLAGS_AT)
  return {
    record: {
      data: (flags & FLAG_BINARY) === 0 ? bytes.toString('utf8', dataAt, end) : Uint8Array.prototype.slice.call(bytes, dataAt, end),
      createdAt: bytes.readDoubleLE(at + CREATED_AT),
      lastAccessedAt: bytes.readDoubleLE(at + ACCESSED_AT),
      expiresAt: bytes.readDoubleLE(at + EXPIRES_AT),
      user: (flags & FLAG_USER) === 0 ? null : bytes.toString('utf8', userAt, dataAt)
    },
    generation: bytes.readDoubleLE(at + GENERATION_AT),
    slot,
    slotSize,
    hasMoved: bytes[MOVED_AT] !== 0,
    isDescribed: bytes.readUInt16LE(HOLDER_AT) !== 0
  }
}

/** Where the session moved to: a key, null for "do not follow", undefined for "it did not move". */
export function decodeMoved (header: Buffer): string | null | undefined {
  switch (header[MOVED_AT]) {
    case MOVED: return header.toString('hex', MOVED_KEY_AT, MOVED_KEY_AT + 32)
    case MUST_NOT_FOLLOW: return null
    default: return undefined
  }
}

export function encodeMoved (movedTo: string | null): Buffer {
  const mark = Buffer.alloc(MOVED_SIZE)
  mark[0] = movedTo === null ? MUST_NOT_FOLLOW : MOVED
  if (movedTo !== null) mark.write(movedTo, 1, 'hex')
  return mark
}

export interface Holder { method: string, route: string, since: number }

export function encodeHolder (holder: Holder): Buffer {
  let { route } = holder
  for (;;) {
    const text = Buffer.from(JSON.stringify({ ...holder, route }))
    if (text.length <= MAX_HOLDER_SIZE) {
      const size = Buffer.alloc(2)
      size.writeUInt16LE(text.length)
      return Buffer.concat([size, text])
    }
    route = `${route.slice(0, Math.floor(route.length / 2))}…`
  }
}

/** For what was never described, and for what a crash left half-written, null. */
export function decodeHolder (header: Buffer): Holder | null {
  const size = header.readUInt16LE(HOLDER_AT)
  if (size === 0 || size > MAX_HOLDER_SIZE) return null
  try {
    return JSON.parse(header.toString('utf8', HOLDER_AT + 2, HOLDER_AT + 2 + size))
  } catch {
    return null
  }
}

export const NO_HOLDER = Buffer.alloc(2)

function byteLength (data: string | Uint8Array): number {
  return typeof data === 'string' ? Buffer.byteLength(data) : data.length
}
