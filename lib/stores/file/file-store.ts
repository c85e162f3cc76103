// Sessions in files, one each, for all processes of one host.
import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Busy, Lease, Moved, PruneOptions, PruneResult, SessionRecord, Store, StoreContext, Ticket } from '../../../types/store.js'
import { type Awaitable, chain, isPromise, quietly } from '../../awaitable.js'
import { ConflictError, InvalidOptionError } from '../../errors.js'
import { boolean, checkAll, oneOf } from '../../options/check.js'
import { absolute, prepareDirectory } from './directory.js'
import { asyncIO, codeOf, type FileIO, syncIO } from './file-io.js'
import { FileLease, type LeaseHost } from './file-lease.js'
import { FileWatch } from './file-watch.js'
import { type Flock, loadFlock } from './flock.js'
import { IdleFiles } from './idle-files.js'
import { decodeHolder, encodeFile, HEADER_SIZE, HOLDER_AT, newSlot, NO_HOLDER, type StoredSlot, type Unreadable, WANTED_AT } from './record-format.js'
import { CREATE, LOCK, openFile, readContent, readMoved, readUnlocked } from './session-file.js'

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

/** A ticket that was told to wait: the file it wants, open, and what watches it. */
interface Waiting {
  readonly fd: number
  readonly watch: FileWatch
}

const SESSION_NAME = /^[0-9a-f]{64}$/
const UNFINISHED_NAME = /^[0-9a-f]{64}\.[0-9a-f]{16}\.tmp$/

/** Asks again after this many ms when nothing has changed: a process that dies frees its lock without a sign. */
const RETRY = 15
/** Who waits renews its mark in the file when it is older than this (ms). */
const MARK_RENEWAL = 500
/** How many files of sessions that were used last stay open. */
const MAX_IDLE = 256
/** Unfinished files younger than this (ms) may still be in the making. */
const UNFINISHED_AGE = 60_000
/** Files with no complete record are kept for so many ms, for a look at them. */
const SPOILT_AGE = 24 * 60 * 60_000
/** A long scan gives way to other work after so many ms. */
const TURN = 5

export class FileStore implements Store, LeaseHost {
  readonly scope = 'host'
  readonly durable: boolean
  readonly io: FileIO
  flock!: Flock
  maxRecordSize = Infinity
  readonly #directory: string
  readonly #waiting = new WeakMap<Ticket, Waiting>()
  readonly #idle: IdleFiles
  #context: StoreContext | null = null

  constructor (options: FileStoreOptions) {
    checkAll(options, {
      directory: (value) => typeof value === 'string' && value !== '' ? null : 'must be the path of a folder',
      durable: boolean,
      io: oneOf('sync', 'async')
    })
    if (options.directory === undefined) throw new InvalidOptionError('directory', 'is missing: name the folder for the session files')
    this.#directory = absolute(options.directory)
    this.durable = options.durable ?? false
    this.io = options.io === 'async' ? asyncIO : syncIO
    this.#idle = new IdleFiles(MAX_IDLE, (fd) => quietly(() => this.io.close(fd)))
  }

  async open (context: StoreContext): Promise<void> {
    this.flock = await loadFlock()
    this.#context = context
    this.maxRecordSize = context.maxRecordSize
    if (prepareDirectory(this.#directory).listable) {
      context.log.warn({ directory: this.#directory }, 'Other users can list the session folder; chmod 700 it')
    }
  }

  close (): void {
    this.#idle.end()
  }

  now (): number {
    return this.#context?.now() ?? Date.now()
  }

  acquire (ticket: Ticket): Awaitable<Lease | Busy | Moved | null> {
    const path = this.#path(ticket.key)
    return this.io.warm === undefined ? this.#lock(ticket, path) : this.io.warm(path).then(() => this.#lock(ticket, path))
  }

  cancel (ticket: Ticket): void {
    this.#stopWaiting(ticket)
  }

  read (key: string): Awaitable<SessionRecord | null> {
    const path = this.#path(key)
    return this.io.warm === undefined ? this.#read(path) : this.io.warm(path).then(() => this.#read(path))
  }

  create (key: string, record: SessionRecord): Awaitable<void> {
    const path = this.#path(key)
    const fd = this.#openNew(path)
    return chain(this.#write(fd, encodeFile(record, 1), path, () => {}), () => this.io.close(fd))
  }

  async * entries (): AsyncGenerator<[string, SessionRecord]> {
    for await (const name of this.#names()) {
      if (!SESSION_NAME.test(name)) continue
      const record = await this.#readOrSkip(name)
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
    for await (const name of this.#names()) {
      const isSession = SESSION_NAME.test(name)
      if (!isSession && !UNFINISHED_NAME.test(name)) continue
      let isOver = false
      try {
        isOver = this.#pruneFile(this.#path(name), idleSince)
      } catch (error) {
        this.#context?.log.warn({ err: error }, 'A session file could not be checked; it is skipped')
      }
      if (!isSession) continue
      if (isOver) deleted++
      else remaining++
    }
    return { deleted, remaining }
  }

  // ---- locking and loading ----

  #lock (ticket: Ticket, path: string): Lease | Busy | Moved | null {
    try {
      for (;;) {
        // Who waits keeps its file open: if that is replaced meanwhile, it still says where the session went.
        const waiting = this.#waiting.get(ticket)
        const fd = waiting?.fd ?? this.#idle.take(ticket.key) ?? this.#open(path)
        if (fd === undefined) return null
        if (!this.flock.tryLock(fd)) {
          this.#wait(ticket, path, fd)
          if (waiting !== undefined) return this.#busy(fd)
          continue // The lock may have been freed before the watch began.
        }
        if (waiting !== undefined) {
          waiting.watch.close()
          this.#waiting.delete(ticket)
        }
        const loaded = this.#loadLocked(ticket, path, fd, waiting !== undefined)
        if (loaded !== 'replaced') return loaded
      }
    } catch (error) {
      this.#stopWaiting(ticket)
      throw error
    }
  }

  #open (path: string): number | undefined {
    return this.#makingRoom(() => openFile(this.io, path, LOCK))
  }

  /** When the process may open no more files, it closes those that are only kept open. */
  #makingRoom<T> (open: () => T): T {
    try {
      return open()
    } catch (error) {
      if (codeOf(error) !== 'EMFILE') throw error
      this.#idle.closeAll()
      return open()
    }
  }

  /** For FileLease. */
  park (key: string, fd: number): void {
    this.flock.unlock(fd)
    this.#idle.put(key, fd)
  }

  /** Takes over a locked file: the lease closes it, or it is closed here. */
  #loadLocked (ticket: Ticket, path: string, fd: number, hasWaited: boolean): Lease | Moved | null | 'replaced' {
    const { io } = this
    let lease: FileLease | null = null
    try {
      const stat = io.stat(fd)
      if (stat.nlink === 0) { // Deleted, or replaced by a larger file, between opening and locking.
        return this.#follow(fd, hasWaited) ?? 'replaced'
      }
      const content = readContent(io, fd, stat, this.maxRecordSize)
      if (typeof content === 'string') return this.#report(content)
      if (content.hasMoved || content.record.expiresAt <= this.now()) {
        quietly(() => this.remove(path))
        return this.#follow(fd, hasWaited)
      }
      if (content.isDescribed) io.write(fd, NO_HOLDER, HOLDER_AT)
      // The mark may have been ours. Others who still wait set it again.
      if (hasWaited) io.write(fd, NOBODY, WANTED_AT)
      lease = new FileLease(this, path, ticket, fd, content)
      return lease
    } finally {
      if (lease === null) io.close(fd)
    }
  }

  /** Where those who waited follow a regenerated session. For newcomers it is gone, even if its file is still open here. */
  #follow (fd: number, hasWaited: boolean): Moved | null {
    const movedTo = hasWaited ? readMoved(this.io, fd) : undefined
    return movedTo === undefined ? null : { outcome: 'moved', movedTo }
  }

  /** Watches the file, and marks it as wanted: its holder then takes care that its release can be seen. */
  #wait (ticket: Ticket, path: string, fd: number): void {
    if (!this.#waiting.has(ticket)) {
      this.#waiting.set(ticket, { fd, watch: new FileWatch(path, () => ticket.wake()) })
    }
    const mark = Buffer.alloc(8)
    this.io.read(fd, mark, mark.length, WANTED_AT)
    // One of many marks it, and not at each try: each mark is a change that wakes the others.
    if (Date.now() - mark.readDoubleLE() < MARK_RENEWAL) return
    mark.writeDoubleLE(Date.now())
    this.io.write(fd, mark, WANTED_AT)
  }

  #stopWaiting (ticket: Ticket): void {
    const waiting = this.#waiting.get(ticket)
    if (waiting === undefined) return
    this.#waiting.delete(ticket)
    waiting.watch.close()
    this.io.close(waiting.fd)
  }

  #busy (fd: number): Busy {
    return {
      outcome: 'busy',
      retryAfter: RETRY + Math.random() * RETRY,
      holder: () => {
        const header = Buffer.alloc(HEADER_SIZE)
        this.io.read(fd, header, HEADER_SIZE, 0)
        const holder = decodeHolder(header)
        return holder === null ? null : { method: holder.method, route: holder.route, heldFor: Math.max(0, Date.now() - holder.since) }
      }
    }
  }

  #read (path: string): SessionRecord | null {
    const content = this.#makingRoom(() => readUnlocked(this.io, path, this.maxRecordSize))
    if (content === undefined) return null
    if (typeof content === 'string') return this.#report(content)
    return content.record.expiresAt <= this.now() ? null : content.record
  }

  // ---- making and deleting files ----

  #openNew (path: string): number {
    for (let attempt = 1; ; attempt++) {
      try {
        return this.#makingRoom(() => this.io.open(path, CREATE, 0o600))
      } catch (error) {
        const code = codeOf(error)
        if (code === 'EEXIST') throw new ConflictError('exists already')
        if (code !== 'ENOENT' || attempt > 1) throw error
        prepareDirectory(this.#directory) // Somebody has deleted the folder while the server runs.
      }
    }
  }

  /** Writes a new file, then runs `action`. If anything fails, the file is closed and deleted. */
  #write<T> (fd: number, bytes: Buffer, path: string, action: () => T): Awaitable<T> {
    const { io, durable } = this
    const undo = (error: unknown) => {
      io.close(fd)
      quietly(() => this.remove(path))
      throw error
    }
    const finish = () => {
      const result = action()
      return chain(this.#flushDirectory(), () => result)
    }
    try {
      const written = chain(io.save(fd, bytes, 0), () => durable ? io.flush(fd) : undefined)
      const finished = chain(written, finish)
      return isPromise(finished) ? finished.catch(undo) : finished
    } catch (error) {
      return undo(error)
    }
  }

  /** For FileLease. Both files are locked until the new one has taken the name. */
  replace (path: string, record: SessionRecord, generation: number): Awaitable<{ fd: number, content: StoredSlot }> {
    const unfinished = `${path}.${randomBytes(8).toString('hex')}.tmp`
    const fd = this.#openNew(unfinished)
    return this.#write(fd, encodeFile(record, generation), unfinished, () => {
      if (!this.flock.tryLock(fd)) throw new Error('A new file is locked by somebody else')
      this.io.rename(unfinished, path)
      return { fd, content: newSlot(record, generation) }
    })
  }

  /** For FileLease. */
  remove (path: string): Awaitable<void> {
    try {
      this.io.unlink(path)
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error
    }
    return this.#flushDirectory()
  }

  /** A new or deleted name is on disk only when its folder is. */
  #flushDirectory (): Awaitable<void> {
    if (!this.durable) return
    const { io } = this
    const fd = io.open(this.#directory, fs.constants.O_RDONLY)
    let flushed
    try {
      flushed = io.flush(fd)
    } catch (error) {
      io.close(fd)
      throw error
    }
    const close = () => io.close(fd)
    return chain(flushed, close, (error) => {
      close()
      throw error
    })
  }

  // ---- looking at all files ----

  /** All names in the folder; gives way to other work now and then. */
  async * #names (): AsyncGenerator<string> {
    let folder
    try {
      folder = await fs.promises.opendir(this.#directory, { bufferSize: 512 })
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return
      throw error
    }
    let turnEnds = performance.now() + TURN
    for await (const entry of folder) {
      yield entry.name
      if (performance.now() < turnEnds) continue
      await nextTurn()
      turnEnds = performance.now() + TURN
    }
  }

  async #readOrSkip (key: string): Promise<SessionRecord | null> {
    try {
      return await this.read(key)
    } catch (error) {
      this.#context?.log.warn({ err: error }, 'A session file could not be read; it is skipped')
      return null
    }
  }

  /** Deletes a file that is over; returns whether it was. A locked one is in use, so it is not. */
  #pruneFile (path: string, idleSince: number): boolean {
    const fd = openFile(this.io, path, LOCK)
    if (fd === undefined) return false
    try {
      // Looked at before it is locked, too: most are not over, and to lock them would make others wait.
      if (!this.#isOver(fd, path, idleSince) || !this.flock.tryLock(fd) || !this.#isOver(fd, path, idleSince)) return false
      quietly(() => this.remove(path))
      return true
    } finally {
      this.io.close(fd)
    }
  }

  #isOver (fd: number, path: string, idleSince: number): boolean {
    const stat = this.io.stat(fd)
    if (stat.nlink === 0) return false
    const age = Date.now() - stat.mtimeMs
    if (path.endsWith('.tmp')) return age > UNFINISHED_AGE
    const content = readContent(this.io, fd, stat, this.maxRecordSize)
    switch (content) {
      case 'foreign': return false
      case 'empty': return age > UNFINISHED_AGE
      case 'torn': return age > SPOILT_AGE
      default: return content.hasMoved || content.record.expiresAt <= this.now() || content.record.lastAccessedAt < idleSince
    }
  }

  #path (name: string): string {
    return `${this.#directory}/${name}`
  }

  #report (reason: Unreadable): null {
    this.#context?.log.warn({ reason }, 'A session file cannot be read; its visitor gets a new session')
    return null
  }
}

const NOBODY = Buffer.alloc(8)
