// One session file: opened, locked and read in one procedure. The file is its own lock, so there is no lock file
// that could be left behind.
import { constants, type Stats } from 'node:fs'
import type { Steps } from '../../awaitable.js'
import { TooLargeError } from '../../errors.js'
import { codeOf, type FileIO } from './file-io.js'
import type { Flock } from './flock.js'
import { decodeFile, decodeMoved, HEADER_SIZE, slotOffset, slotSizeFor, type StoredSlot, type Unreadable } from './record-format.js'

const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, S_IFMT, S_IFREG } = constants
/** Reading must not write access times: touch() keeps the time of the last visit there. Linux only. */
const O_NOATIME = (constants as { O_NOATIME?: number }).O_NOATIME ?? 0
/** No symbolic link is followed, and a named pipe in the place of a file does not block. */
const SAFE = O_NOFOLLOW | O_NONBLOCK

export const CREATE = O_RDWR | O_CREAT | O_EXCL | SAFE
const LOCK = O_RDWR | SAFE | O_NOATIME
const READ = O_RDONLY | SAFE | O_NOATIME

/** Both slots torn by writes that overlap one read is a rare accident; more often than this it is corruption. */
const READ_ATTEMPTS = 3

export type FileContent = StoredSlot | Unreadable

export interface FileTools {
  readonly io: FileIO
  readonly flock: Flock
  readonly maxRecordSize: number
}

/** Opens a file to lock it. undefined: there is none. */
export function * openToLock (tools: FileTools, path: string): Steps<number | undefined> {
  return yield * open(tools, path, LOCK)
}

function * open ({ io }: FileTools, path: string, flags: number): Steps<number | undefined> {
  try {
    return (yield io.open(path, flags, 0o600)) as number
  } catch (error) {
    switch (codeOf(error)) {
      case 'ENOENT': return undefined
      // A symbolic link, a folder or a socket where a session should be: not ours, so not there.
      case 'ELOOP': case 'EISDIR': case 'ENXIO': return undefined
    }
    throw error
  }
}

/** What a file holds, and its Stats. The times of the record are those of the last touch, if that came after the save. */
export function * readContent (tools: FileTools, fd: number, stat: Stats): Steps<FileContent> {
  if ((stat.mode & S_IFMT) !== S_IFREG) return 'foreign'
  const { io, maxRecordSize } = tools
  const { size } = stat
  if (size > slotOffset(2, slotSizeFor(maxRecordSize + 0xffff))) throw new TooLargeError(size, maxRecordSize)
  const buffer = io.sharedBuffer !== undefined && size <= io.sharedBuffer.length ? io.sharedBuffer : Buffer.allocUnsafe(size)
  const content = decodeFile(buffer, (yield io.read(fd, buffer, size, 0)) as number)
  return typeof content === 'string' ? content : withTouchedTimes(content, stat)
}

/**
 * touch() writes no data: it sets the file's times, modified = expiry and accessed = last visit. A save leaves the
 * time of the save there, which is always before the expiry that it has just stored.
 */
function withTouchedTimes (content: StoredSlot, stat: Stats): StoredSlot {
  const touchedTo = Math.round(stat.mtimeMs)
  if (touchedTo < content.record.expiresAt) return content
  const lastAccessedAt = Math.max(content.record.lastAccessedAt, Math.round(stat.atimeMs))
  return { ...content, record: { ...content.record, expiresAt: touchedTo, lastAccessedAt } }
}

/** The content without the lock; undefined: there is no such file. */
export function * readUnlocked (tools: FileTools, path: string): Steps<FileContent | undefined> {
  const { io } = tools
  const fd = yield * open(tools, path, READ)
  if (fd === undefined) return undefined
  try {
    let content: FileContent = 'torn'
    for (let attempt = 0; content === 'torn' && attempt < READ_ATTEMPTS; attempt++) {
      content = yield * readContent(tools, fd, (yield io.stat(fd)) as Stats)
    }
    return typeof content !== 'string' && content.hasMoved ? undefined : content
  } finally {
    yield io.close(fd)
  }
}

/** Where the file says that its session moved to; undefined: nowhere. */
export function * readMoved ({ io }: FileTools, fd: number): Steps<string | null | undefined> {
  return decodeMoved(yield * readHeader(io, fd))
}

export function * readHeader (io: FileIO, fd: number): Steps<Buffer> {
  const header = Buffer.alloc(HEADER_SIZE)
  yield io.read(fd, header, HEADER_SIZE, 0)
  return header
}
