// Opening and reading session files.
import { constants, type Stats } from 'node:fs'
import type { Moved } from '../../../types/store.js'
import { TooLargeError } from '../../errors.js'
import { codeOf, type FileIO } from './file-io.js'
import { decodeFile, decodeMoved, MOVED_AT, MOVED_SIZE, readPage, slotOffset, slotSizeFor, type StoredSlot, type Unreadable } from './record-format.js'

const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, S_IFMT, S_IFREG } = constants
/** Reading writes no access times. Linux only. */
const O_NOATIME = (constants as { O_NOATIME?: number }).O_NOATIME ?? 0
/** No symbolic link is followed, and a named pipe in the place of a file does not block. */
const SAFE = O_NOFOLLOW | O_NONBLOCK

export const CREATE = O_RDWR | O_CREAT | O_EXCL | SAFE
export const LOCK = O_RDWR | SAFE | O_NOATIME
const READ = O_RDONLY | SAFE | O_NOATIME

/** Both slots torn by writes that overlap one read is a rare accident; more often than this it is corruption. */
const READ_ATTEMPTS = 3

export type FileContent = StoredSlot | Unreadable

/** Opens a file; undefined: there is none, or something stands in its place that is none of ours. */
export function openFile (io: FileIO, path: string, flags: number): number | undefined {
  try {
    return io.open(path, flags)
  } catch (error) {
    switch (codeOf(error)) {
      case 'ENOENT': case 'ELOOP': case 'EISDIR': case 'ENXIO': return undefined
    }
    throw error
  }
}

/** What a file holds. */
export function readContent (io: FileIO, fd: number, stat: Stats, maxRecordSize: number): FileContent {
  if ((stat.mode & S_IFMT) !== S_IFREG) return 'foreign'
  const { size } = stat
  if (size > slotOffset(2, slotSizeFor(maxRecordSize + 0xffff))) throw new TooLargeError(size, maxRecordSize)
  const page = readPage.for(size)
  return decodeFile(page, io.read(fd, page.bytes, size, 0))
}

/** The content, read without the lock; undefined: there is no such session. */
export function readUnlocked (io: FileIO, path: string, maxRecordSize: number): FileContent | undefined {
  const fd = openFile(io, path, READ)
  if (fd === undefined) return undefined
  try {
    let content: FileContent = 'torn'
    for (let attempt = 0; content === 'torn' && attempt < READ_ATTEMPTS; attempt++) {
      content = readContent(io, fd, io.stat(fd), maxRecordSize)
    }
    return typeof content !== 'string' && content.hasMoved ? undefined : content
  } finally {
    io.close(fd)
  }
}

/** Where the file says that its session moved to; null: it says nothing. */
export function readMoved (io: FileIO, fd: number): Moved | null {
  const mark = Buffer.alloc(MOVED_SIZE)
  io.read(fd, mark, MOVED_SIZE, MOVED_AT)
  return decodeMoved(mark)
}
