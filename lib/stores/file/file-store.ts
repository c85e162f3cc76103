// Sessions in files, one each, for all processes of one host.
import type { Busy, Lease, Moved, PruneOptions, PruneResult, SessionRecord, Store, StoreContext, Ticket } from '../../../types/store.js'
import { type Awaitable, quietly } from '../../awaitable.js'
import { InvalidOptionError } from '../../errors.js'
import { boolean, checkAll, oneOf } from '../../options/check.js'
import { absolute, prepareDirectory } from './directory.js'
import { asyncIO, syncIO } from './file-io.js'
import { FileLease } from './file-lease.js'
import { loadFlock } from './flock.js'
import { filesIn, pruneFile } from './folder-scan.js'
import { HOLDER_AT, NO_HOLDER, type Unreadable, WANTED_AT } from './record-format.js'
import { LOCK, openFile, readContent, readMoved, readUnlocked } from './session-file.js'
import { SessionFolder } from './session-folder.js'
import { WaitingTickets } from './waiting-tickets.js'

export interface FileStoreOptions {
  /** The folder; made with mode 0700 if it is missing. Must be on a local file system: flock(2) is not reliable on NFS or SMB. */
  directory: string
  /**
   * Whether a save waits until the disk has it (fdatasync), so that it survives a power cut. Costs a disk write for
   * each save, often milliseconds. Without it a crash of the process loses nothing, a power cut the last seconds. Default false.
   */
  durable?: boolean
  /**
   * 'sync' does all file operations on the JavaScript thread: about a microsecond each on a local disk. 'async' does what
   * may have to wait for the disk in the thread pool (reading what is not cached, writing records, flushing): about ten
   * times the cost, but a slow disk does not block the process. Default 'sync'.
   */
  io?: 'sync' | 'async'
}

const NOBODY = Buffer.alloc(8)

export class FileStore implements Store {
  readonly scope = 'host'
  /** @internal */
  readonly folder: SessionFolder
  readonly #waiting: WaitingTickets
  #context: StoreContext | null = null

  constructor (options: FileStoreOptions) {
    checkAll(options, {
      directory: (value) => typeof value === 'string' && value !== '' ? null : 'must be the path of a folder',
      durable: boolean,
      io: oneOf('sync', 'async')
    })
    if (options.directory === undefined) throw new InvalidOptionError('directory', 'is missing: name the folder for the session files')
    const io = options.io === 'async' ? asyncIO : syncIO
    this.folder = new SessionFolder(absolute(options.directory), io, options.durable ?? false)
    this.#waiting = new WaitingTickets(this.folder)
  }

  async open (context: StoreContext): Promise<void> {
    const { folder } = this
    folder.flock = await loadFlock()
    folder.maxRecordSize = context.maxRecordSize
    this.#context = context
    if (prepareDirectory(folder.directory).listable) {
      context.log.warn({ directory: folder.directory }, 'Other users can list the session folder; chmod 700 it')
    }
  }

  close (): void {
    this.folder.close()
  }

  acquire (ticket: Ticket): Awaitable<Lease | Busy | Moved | null> {
    const { warm } = this.folder.io
    if (warm === undefined) return this.#lock(ticket)
    return warm(this.folder.path(ticket.key)).then(() => this.#lock(ticket))
  }

  cancel (ticket: Ticket): void {
    this.#waiting.giveUp(ticket)
  }

  read (key: string): Awaitable<SessionRecord | null> {
    const { warm } = this.folder.io
    const path = this.folder.path(key)
    return warm === undefined ? this.#read(path) : warm(path).then(() => this.#read(path))
  }

  create (key: string, record: SessionRecord): Awaitable<void> {
    return this.folder.create(key, record)
  }

  async * entries (): AsyncGenerator<[string, SessionRecord]> {
    for await (const { name, kind } of filesIn(this.folder.directory)) {
      if (kind !== 'session') continue
      let record = null
      try {
        record = await this.read(name)
      } catch (error) {
        this.#context?.log.warn({ err: error }, 'A session file could not be read; it is skipped')
      }
      if (record !== null) yield [name, record]
    }
  }

  async count (): Promise<number> {
    let live = 0
    for await (const entry of this.entries()) if (entry !== undefined) live++
    return live
  }

  /** Skips locked files, and those that it cannot understand. */
  async prune ({ idleSince = -Infinity }: PruneOptions = {}): Promise<PruneResult> {
    let deleted = 0
    let remaining = 0
    for await (const { name, kind } of filesIn(this.folder.directory)) {
      let isOver = false
      try {
        isOver = pruneFile(this.folder, this.folder.path(name), kind, { now: this.#now(), idleSince })
      } catch (error) {
        this.#context?.log.warn({ err: error }, 'A session file could not be checked; it is skipped')
      }
      if (kind !== 'session') continue
      if (isOver) deleted++
      else remaining++
    }
    return { deleted, remaining }
  }

  // ---- locking and loading ----

  #lock (ticket: Ticket): Lease | Busy | Moved | null {
    const { folder } = this
    try {
      for (;;) {
        const waitedFor = this.#waiting.fileOf(ticket)
        const fd = waitedFor ?? folder.open(ticket.key)
        if (fd === undefined) return null
        if (!folder.flock.tryLock(fd)) {
          this.#waiting.wait(ticket, folder.path(ticket.key), fd)
          if (waitedFor !== undefined) return this.#waiting.busy(fd)
          continue // The lock may have been freed before the watch began.
        }
        if (waitedFor !== undefined) this.#waiting.end(ticket)
        const loaded = this.#loadLocked(ticket, fd, waitedFor !== undefined)
        if (loaded !== 'replaced') return loaded
      }
    } catch (error) {
      this.#waiting.giveUp(ticket)
      throw error
    }
  }

  /** Takes over a locked file: the lease closes it, or it is closed here. */
  #loadLocked (ticket: Ticket, fd: number, hasWaited: boolean): Lease | Moved | null | 'replaced' {
    const { folder } = this
    const { io } = folder
    let lease: FileLease | null = null
    try {
      const stat = io.stat(fd)
      if (stat.nlink === 0) { // Deleted, or replaced by a larger file, between opening and locking.
        return this.#follow(fd, hasWaited) ?? 'replaced'
      }
      const content = readContent(io, fd, stat, folder.maxRecordSize)
      if (typeof content === 'string') return this.#report(content)
      if (content.hasMoved || content.record.expiresAt <= this.#now()) {
        quietly(() => folder.remove(folder.path(ticket.key)))
        return this.#follow(fd, hasWaited)
      }
      if (content.isDescribed) io.write(fd, NO_HOLDER, HOLDER_AT)
      // The mark may have been ours. Others who still wait set it again.
      if (hasWaited) io.write(fd, NOBODY, WANTED_AT)
      lease = new FileLease(folder, ticket, fd, content)
      return lease
    } finally {
      if (lease === null) io.close(fd)
    }
  }

  /** Where those who waited follow a regenerated session. For newcomers it is gone, even if its file is still open here. */
  #follow (fd: number, hasWaited: boolean): Moved | null {
    return hasWaited ? readMoved(this.folder.io, fd) : null
  }

  #read (path: string): SessionRecord | null {
    const { folder } = this
    const content = folder.makingRoom(() => readUnlocked(folder.io, path, folder.maxRecordSize))
    if (content === undefined) return null
    if (typeof content === 'string') return this.#report(content)
    // A session does not expire while somebody holds its lock (S2).
    return content.record.expiresAt > this.#now() || this.#isLocked(path) ? content.record : null
  }

  #isLocked (path: string): boolean {
    const { io, flock } = this.folder
    const fd = openFile(io, path, LOCK)
    if (fd === undefined) return false
    try {
      return !flock.tryLock(fd)
    } finally {
      io.close(fd)
    }
  }

  #now (): number {
    return this.#context?.now() ?? Date.now()
  }

  #report (reason: Unreadable): null {
    this.#context?.log.warn({ reason }, 'A session file cannot be read; its visitor gets a new session')
    return null
  }
}
