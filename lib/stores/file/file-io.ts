// The file operations of the store, twice: on the JavaScript thread, where an operation on cached pages takes a
// few microseconds, and in libuv's thread pool, where it takes 60 and more but a slow disk blocks nobody.
// The algorithms are written once, as Steps, over either of them.
import * as fs from 'node:fs'
import { promisify } from 'node:util'
import type { Awaitable } from '../../awaitable.js'

export interface FileIO {
  open (path: string, flags: number, mode?: number): Awaitable<number>
  close (fd: number): Awaitable<void>
  stat (fd: number): Awaitable<fs.Stats>
  /** Reads from the position on; resolves to the number of bytes, which is smaller at the end of the file. */
  read (fd: number, buffer: Buffer, length: number, position: number): Awaitable<number>
  /** Writes all of the bytes or throws. */
  write (fd: number, bytes: Uint8Array, position: number): Awaitable<void>
  sync (fd: number): Awaitable<void>
  setTimes (fd: number, accessed: number, modified: number): Awaitable<void>
  rename (from: string, to: string): Awaitable<void>
  unlink (path: string): Awaitable<void>
  /** A buffer that may be reused for the next operation; undefined where operations overlap. */
  readonly sharedBuffer: Buffer | undefined
}

export const syncIO: FileIO = {
  open: fs.openSync,
  close: fs.closeSync,
  stat: fs.fstatSync,
  read: (fd, buffer, length, position) => fs.readSync(fd, buffer, 0, length, position),
  write (fd, bytes, position) {
    const written = fs.writeSync(fd, bytes, 0, bytes.length, position)
    if (written !== bytes.length) throw shortWrite()
  },
  sync: fs.fdatasyncSync,
  setTimes: fs.futimesSync,
  rename: fs.renameSync,
  unlink: fs.unlinkSync,
  sharedBuffer: Buffer.allocUnsafeSlow(64 * 1024)
}

const read = promisify(fs.read) as unknown as (fd: number, buffer: Buffer, offset: number, length: number, position: number) => Promise<{ bytesRead: number }>
const write = promisify(fs.write) as unknown as (fd: number, bytes: Uint8Array, offset: number, length: number, position: number) => Promise<{ bytesWritten: number }>

export const asyncIO: FileIO = {
  open: promisify(fs.open) as FileIO['open'],
  close: promisify(fs.close),
  stat: promisify(fs.fstat) as FileIO['stat'],
  async read (fd, buffer, length, position) {
    return (await read(fd, buffer, 0, length, position)).bytesRead
  },
  async write (fd, bytes, position) {
    const { bytesWritten } = await write(fd, bytes, 0, bytes.length, position)
    if (bytesWritten !== bytes.length) throw shortWrite()
  },
  sync: promisify(fs.fdatasync),
  setTimes: promisify(fs.futimes),
  rename: promisify(fs.rename),
  unlink: promisify(fs.unlink),
  sharedBuffer: undefined
}

/** The kernel writes less than asked for when the disk fills up in the middle; the next write would say so. */
function shortWrite (): Error {
  return Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
}

export function codeOf (error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined
}
