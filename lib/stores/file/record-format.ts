// The bytes of a session file.
//
//   header   256 bytes: magic, slot size, the mark of those who wait, where the session moved to, who holds it, the last touch
//   slot 0   header of 48 bytes, user, data
//   slot 1   the same
//
// The two slots are written in turn, each with a generation and a checksum. A crash in the middle of a write spoils
// the older slot only, so the last complete record is always there. (LMDB keeps its meta pages like this.)
import { crc32 } from 'node:zlib'
import type { Moved, SessionRecord, SessionTimes } from '../../../types/store.js'
import { hrtime } from '../../hrtime.js'

const MAGIC = 0x3153_4c46 // "FLS1", little-endian
export const HEADER_SIZE = 256
const SLOT_HEADER_SIZE = 48

/** Offsets in the header. */
const SLOT_SIZE_AT = 4
/** f64: since when another process waits, ms since the epoch; 0: nobody. Waiters write it without the lock. */
export const WANTED_AT = 8
/** u8: MOVED or MUST_NOT_FOLLOW; 32 bytes: the new key; f64 at the end: when, in ms of process.hrtime(). */
export const MOVED_AT = 16
export const MOVED_SIZE = 48
const MOVED_TIME_AT = MOVED_SIZE - 8
/** u8 length and as many bytes of JSON: what holds the lock. */
export const HOLDER_AT = 64
/** f64 generation, last visit, expiry; u32 checksum. Holds until the next save. File times would not do: every mark changes them. */
export const TOUCH_AT = 224
const TOUCH_SIZE = 28
const MAX_HOLDER_SIZE = TOUCH_AT - HOLDER_AT - 1

const MOVED = 1
const MUST_NOT_FOLLOW = 2

/** Offsets in a slot's header. All numbers lie at multiples of their size, so that they can be read through views. */
const CRC_AT = 0
const DATA_SIZE_AT = 4
const GENERATION_AT = 8
const CREATED_AT = 16
const ACCESSED_AT = 24
const EXPIRES_AT = 32
const USER_SIZE_AT = 40
const FLAGS_AT = 44
const FLAG_BINARY = 1
const FLAG_USER = 2

/**
 * A buffer with views for its numbers, which are several times faster than Buffer's own methods. They have the
 * machine's byte order, little-endian wherever Node runs; a file from elsewhere would have the wrong magic.
 */
export class Page {
  readonly bytes: Buffer
  readonly u32: Uint32Array
  readonly f64: Float64Array

  constructor (size: number) {
    this.bytes = Buffer.allocUnsafeSlow(Math.ceil(size / 8) * 8)
    this.u32 = new Uint32Array(this.bytes.buffer)
    this.f64 = new Float64Array(this.bytes.buffer)
  }
}

/** Every operation on it is finished before the next one begins, so all can use the same. */
class SharedPage extends Page {
  /** This page, or a new one if it is too small. */
  for (size: number): Page {
    return size <= this.bytes.length ? this : new Page(size)
  }
}

export const readPage = new SharedPage(64 * 1024)
const writePage = new SharedPage(64 * 1024)
const touchPage = new Page(TOUCH_SIZE)

export interface StoredSlot {
  readonly record: SessionRecord
  /** Rises by one with each save. */
  generation: number
  /** 0 or 1 */
  slot: number
  readonly slotSize: number
  /** When a process outside last said that it waits, ms since the epoch; 0: never. */
  readonly wantedAt: number
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

/** The bytes of one slot. `brief`: they may be overwritten by the next call, so they cost no allocation. */
export function encodeSlot (record: SessionRecord, payload: number, generation: number, brief = false): Buffer {
  const size = SLOT_HEADER_SIZE + payload
  const page = brief ? writePage.for(size) : new Page(size)
  const { bytes, u32, f64 } = page
  const userSize = record.user === null ? 0 : bytes.write(record.user, SLOT_HEADER_SIZE)
  const dataAt = SLOT_HEADER_SIZE + userSize
  let flags = record.user === null ? 0 : FLAG_USER
  if (typeof record.data === 'string') {
    bytes.write(record.data, dataAt)
  } else {
    bytes.set(record.data, dataAt)
    flags |= FLAG_BINARY
  }
  u32[DATA_SIZE_AT / 4] = payload - userSize
  f64[GENERATION_AT / 8] = generation
  f64[CREATED_AT / 8] = record.createdAt
  f64[ACCESSED_AT / 8] = record.lastAccessedAt
  f64[EXPIRES_AT / 8] = record.expiresAt
  u32[USER_SIZE_AT / 4] = userSize
  u32[FLAGS_AT / 4] = flags
  u32[CRC_AT / 4] = crc32(bytes.subarray(DATA_SIZE_AT, size))
  return bytes.subarray(0, size)
}

/** The bytes of a touch, to be written at TOUCH_AT. The next call overwrites them. */
export function encodeTouch (generation: number, { lastAccessedAt, expiresAt }: SessionTimes): Buffer {
  const { bytes, u32, f64 } = touchPage
  const end = TOUCH_SIZE - 4
  f64[0] = generation
  f64[1] = lastAccessedAt
  f64[2] = expiresAt
  u32[end / 4] = crc32(bytes.subarray(0, end))
  return bytes
}

/** The bytes of a new file: header and slot 0. */
export function encodeFile (record: SessionRecord, generation: number): Buffer {
  const payload = payloadSize(record)
  const header = Buffer.alloc(HEADER_SIZE)
  const words = new Uint32Array(header.buffer, header.byteOffset, 2)
  words[0] = MAGIC
  words[SLOT_SIZE_AT / 4] = slotSizeFor(payload)
  return Buffer.concat([header, encodeSlot(record, payload, generation)])
}

/** What a session file of `slotSize` holds once its first slot is written. */
export function newSlot (record: SessionRecord, generation: number): StoredSlot {
  return { record, generation, slot: 0, slotSize: slotSizeFor(payloadSize(record)), wantedAt: 0, hasMoved: false, isDescribed: false }
}

/** The newest complete record in the first `size` bytes, or why there is none. */
export function decodeFile (page: Page, size: number): StoredSlot | Unreadable {
  if (size === 0) return 'empty'
  if (size < 4 || page.u32[0] !== MAGIC) return 'foreign'
  if (size < HEADER_SIZE + SLOT_HEADER_SIZE) return 'torn'
  const slotSize = page.u32[SLOT_SIZE_AT / 4]!
  if (slotSize % 256 !== 0) return 'torn'
  const newer = generationOf(page, size, 1, slotSize) > generationOf(page, size, 0, slotSize) ? 1 : 0
  const content = decodeSlot(page, size, newer, slotSize) ?? decodeSlot(page, size, 1 - newer, slotSize)
  if (content === null) return 'torn'
  applyTouch(page, content)
  return content
}

function applyTouch ({ bytes, u32, f64 }: Page, { generation, record }: StoredSlot): void {
  if (f64[TOUCH_AT / 8] !== generation) return
  const end = TOUCH_AT + TOUCH_SIZE - 4
  if (crc32(bytes.subarray(TOUCH_AT, end)) !== u32[end / 4]) return
  record.lastAccessedAt = f64[TOUCH_AT / 8 + 1]!
  record.expiresAt = f64[TOUCH_AT / 8 + 2]!
}

function generationOf ({ f64 }: Page, size: number, slot: number, slotSize: number): number {
  const at = slotOffset(slot, slotSize)
  return at + SLOT_HEADER_SIZE <= size ? f64[(at + GENERATION_AT) / 8]! : -1
}

function decodeSlot ({ bytes, u32, f64 }: Page, size: number, slot: number, slotSize: number): StoredSlot | null {
  const at = slotOffset(slot, slotSize)
  if (at + SLOT_HEADER_SIZE > size) return null
  const userAt = at + SLOT_HEADER_SIZE
  const dataAt = userAt + u32[(at + USER_SIZE_AT) / 4]!
  const end = dataAt + u32[(at + DATA_SIZE_AT) / 4]!
  if (end > size || end > at + slotSize) return null
  if (crc32(bytes.subarray(at + DATA_SIZE_AT, end)) !== u32[(at + CRC_AT) / 4]) return null
  const flags = u32[(at + FLAGS_AT) / 4]!
  return {
    record: {
      data: (flags & FLAG_BINARY) === 0 ? bytes.toString('utf8', dataAt, end) : Uint8Array.prototype.slice.call(bytes, dataAt, end),
      createdAt: f64[(at + CREATED_AT) / 8]!,
      lastAccessedAt: f64[(at + ACCESSED_AT) / 8]!,
      expiresAt: f64[(at + EXPIRES_AT) / 8]!,
      user: (flags & FLAG_USER) === 0 ? null : bytes.toString('utf8', userAt, dataAt)
    },
    generation: f64[(at + GENERATION_AT) / 8]!,
    slot,
    slotSize,
    wantedAt: f64[WANTED_AT / 8]!,
    hasMoved: bytes[MOVED_AT] !== 0,
    isDescribed: bytes[HOLDER_AT] !== 0
  }
}

/** Where the session moved to, from the bytes at MOVED_AT; null: it did not move. */
export function decodeMoved (mark: Buffer): Moved | null {
  const [state] = mark
  if (state !== MOVED && state !== MUST_NOT_FOLLOW) return null
  return { outcome: 'moved', movedTo: state === MOVED ? mark.toString('hex', 1, 33) : null, movedAt: mark.readDoubleLE(MOVED_TIME_AT) }
}

export function encodeMoved (movedTo: string | null): Buffer {
  const mark = Buffer.alloc(MOVED_SIZE)
  mark[0] = movedTo === null ? MUST_NOT_FOLLOW : MOVED
  if (movedTo !== null) mark.write(movedTo, 1, 'hex')
  mark.writeDoubleLE(hrtime(), MOVED_TIME_AT)
  return mark
}

/** Takes it back. */
export const NOT_MOVED: Buffer = Buffer.alloc(1)

export interface Holder { method: string, route: string, since: number }

export function encodeHolder (holder: Holder): Buffer {
  let { route } = holder
  for (;;) {
    const text = Buffer.from(JSON.stringify({ ...holder, route }))
    if (text.length <= MAX_HOLDER_SIZE) {
      return Buffer.concat([Buffer.of(text.length), text])
    }
    route = `${route.slice(0, Math.floor(route.length / 2))}…`
  }
}

/** For what was never described, and for what a crash left half-written, null. */
export function decodeHolder (header: Buffer): Holder | null {
  const size = header[HOLDER_AT]!
  if (size === 0) return null
  try {
    return JSON.parse(header.toString('utf8', HOLDER_AT + 1, HOLDER_AT + 1 + size))
  } catch {
    return null
  }
}

export const NO_HOLDER: Buffer = Buffer.alloc(1)

function byteLength (data: string | Uint8Array): number {
  return typeof data === 'string' ? Buffer.byteLength(data) : data.length
}
