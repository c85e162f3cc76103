// The file operations of the store. All but three are done on the JavaScript thread, where an operation on cached
// pages takes about a microsecond; libuv's thread pool takes 60 and more. What waits for the disk itself, reading
// what is not cached and flushing, can be done in the thread pool: that is the option `io: 'async'`.
import * as fs from 'node:fs'
import { promisify } from 'node:util'
import type { Awaitable } from '../../awaitable.js'

export interface FileIO {
  open (path: string, flags: number, mode?: number): number
  close (fd: number): void
  stat (fd: number): fs.Stats
  /** Returns the number of bytes read, which is smaller at the end of the file. */
  read (fd: number, buffer: Buffer, length: number, position: number): number
  /** Writes all of the bytes or throws. */
  write (fd: number, bytes: Uint8Array, position: number): void
  rename (from: string, to: string): void
  unlink (path: string): void
  /** Brings what is about to be read into the page cache; undefined where it is read at once. */
  warm?: (path: string) => Promise<void>
  /** Writes a record: all of the bytes or throws. They must stay unchanged until it is done. */
  save (fd: number, bytes: Uint8Array, position: number): Awaitable<void>
  /** Waits until the disk has what was written. */
  flush (fd: number): Awaitable<void>
}

function writeAll (fd: number, bytes: Uint8Array, position: number): void {
  assertAll(fs.writeSync(fd, bytes, 0, bytes.length, position), bytes)
}

export const syncIO: FileIO = {
  open: fs.openSync,
  close: fs.closeSync,
  stat: fs.fstatSync,
  read: (fd, buffer, length, position) => fs.readSync(fd, buffer, 0, length, position),
  write: writeAll,
  rename: fs.renameSync,
  unlink: fs.unlinkSync,
  save: writeAll,
  flush: fs.fdatasyncSync
}

const write = promisify(fs.write) as unknown as (fd: number, bytes: Uint8Array, offset: number, length: number, position: number) => Promise<{ bytesWritten: number }>

export const asyncIO: FileIO = {
  ...syncIO,
  async warm (path) {
    try {
      await fs.promises.readFile(path)
    } catch {} // It will fail again where it matters, or it is not there.
  },
  async save (fd, bytes, position) {
    assertAll((await write(fd, bytes, 0, bytes.length, position)).bytesWritten, bytes)
  },
  flush: promisify(fs.fdatasync)
}

/** The kernel writes less than asked for when the disk fills up in the middle; the next write would say so. */
function assertAll (written: number, bytes: Uint8Array): void {
  if (written !== bytes.length) throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
}

export function codeOf (error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined
}
