// Sessions in files, one each, for all processes of one host.
import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Busy, Lease, Moved, PruneOptions, PruneResult, SessionRecord, Store, StoreContext, Ticket } from '../../../types/store.js'
import { type Awaitable, isPromise, run, type Steps } from '../../awaitable.js'
import { ConflictError, InvalidOptionError } from '../../errors.js'
import { boolean, checkAll, oneOf } from '../../options/check.js'
import { absolute, prepareDirectory } from './directory.js'
import { asyncIO, codeOf, type FileIO, syncIO } from './file-io.js'
import { FileLease, type LeaseHost } from './file-lease.js'
import { FileWatch } from './file-watch.js'
import { type Flock, loadFlock } from './flock.js'
import { decodeFile, decodeHolder, encodeFile, HEADER_SIZE, HOLDER_AT, NO_HOLDER, type StoredSlot, type Unreadable, WANTED_AT } from './record-format.js'
import { CREATE, openToLock, readContent, readMoved, readUnlocked } from './session-file.js'

export interface FileStoreOptions {
  /** The folder; made with mode 0700 if it is missing. Must be on a local file system: flock(2) is not reliable on NFS or SMB. */
  directory: string
  /**
   * Whether a save waits until the disk has it (fdatasync), so that it survives a power cut. Costs a disk write for
   * each save, often milliseconds. Without it a crash of the process loses nothing, a power cut the last seconds. Default false.
   */
  durable?: boolean
  /**
   * 'sync' does file operations on the JavaScript thread: a few microseconds each on a local disk. 'async' does them in
   * the thread pool: about ten times the cost, but a slow disk does not block the process. Default 'sync'.
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
  }

  async open (context: StoreContext): Promise<void> {
    this.flock = await loadFlock()
    this.#context = context
    this.maxRecordSize = context.maxRecordSize
    if (prepareDirectory(this.#directory).listable) {
      context.log.warn({ directory: this.#directory }, 'Other users can list the session folder; chmod 700 it')
    }
  }

  now (): number {
    return this.#context?.now() ?? Date.now()
  }

  acquire (ticket: Ticket): Awaitable<Lease | Busy | Moved | null> {
    return run(this.#acquireSteps(ticket))
  }

  cancel (ticket: Ticket): Awaitable<void> {
    return run(this.#stopWaiting(ticket))
  }

  read (key: string): Awaitable<SessionRecord | null> {
    return run(this.#readSteps(key))
  }

  create (key: string, record: SessionRecord): Awaitable<void> {
    return run(this.#createSteps(key, record))
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
      try {
        if (SESSION_NAME.test(name)) {
          const over = run(this.#pruneSession(name, idleSince))
          if (isPromise(over) ? await over : over) deleted++
          else remaining++
        } else if (UNFINISHED_NAME.test(name)) {
          await run(this.#pruneUnfinished(name))
        }
      } catch (error) {
        this.#context?.log.warn({ err: error }, 'A session file could not be checked; it is skipped')
        remaining++
      }
    }
    return { deleted, remaining }
  }

  // ---- locking and loading ----

  * #acquireSteps (ticket: Ticket): Steps<Lease | Busy | Moved | null> {
    const path = this.#path(ticket.key)
    try {
      for (;;) {
        // Who waits keeps its file open: if that is replaced meanwhile, it still says where the session went.
        const waiting = this.#waiting.get(ticket)
        const fd = waiting?.fd ?? (yield * openToLock(this, path))
        if (fd === undefined) return null
        if (!this.flock.tryLock(fd)) {
          yield * this.#wait(ticket, path, fd)
          if (waiting !== undefined) return this.#busy(fd)
          continue // The lock may have been freed before the watch began.
        }
        waiting?.watch.close()
        this.#waiting.delete(ticket)
        const loaded = yield * this.#loadLocked(ticket, path, fd)
        if (loaded !== 'replaced') return loaded
      }
    } catch (error) {
      yield * this.#stopWaiting(ticket)
      throw error
    }
  }

  /** Takes over a locked file: the lease closes it, or it is closed here. */
  * #loadLocked (ticket: Ticket, path: string, fd: number): Steps<Lease | Moved | null | 'replaced'> {
    let lease: FileLease | null = null
    try {
      const stat = (yield this.io.stat(fd)) as fs.Stats
      if (stat.nlink === 0) { // Deleted, or replaced by a larger file, between opening and locking.
        const movedTo = yield * readMoved(this, fd)
        return movedTo === undefined ? 'replaced' : { outcome: 'moved', movedTo }
      }
      const content = yield * readContent(this, fd, stat)
      if (typeof content === 'string') return this.#report(content)
      if (content.hasMoved || content.record.expiresAt <= this.now()) {
        yield * this.remove(path)
        return null
      }
      if (content.isDescribed) yield this.io.write(fd, NO_HOLDER, HOLDER_AT)
      lease = new FileLease(this, path, ticket, fd, content)
      return lease
    } finally {
      if (lease === null) yield this.io.close(fd)
    }
  }

  /** Watches the file, and marks it, so that the holder's release makes a change to be seen. */
  * #wait (ticket: Ticket, path: string, fd: number): Steps<void> {
    if (!this.#waiting.has(ticket)) {
      this.#waiting.set(ticket, { fd, watch: new FileWatch(path, () => ticket.wake()) })
    }
    const wanted = Buffer.alloc(8)
    yield this.io.read(fd, wanted, 8, WANTED_AT)
    // Only the first of many marks it: each mark is a change that wakes the others.
    if (wanted.readDoubleLE(0) !== 0) return
    wanted.writeDoubleLE(Date.now())
    yield this.io.write(fd, wanted, WANTED_AT)
  }

  * #stopWaiting (ticket: Ticket): Steps<void> {
    const waiting = this.#waiting.get(ticket)
    if (waiting === undefined) return
    this.#waiting.delete(ticket)
    waiting.watch.close()
    yield this.io.close(waiting.fd)
  }

  #busy (fd: number): Busy {
    return {
      outcome: 'busy',
      retryAfter: RETRY + Math.random() * RETRY,
      holder () {
        const header = Buffer.alloc(HEADER_SIZE)
        fs.readSync(fd, header, 0, HEADER_SIZE, 0)
        const holder = decodeHolder(header)
        return holder === null ? null : { method: holder.method, route: holder.route, heldFor: Math.max(0, Date.now() - holder.since) }
      }
    }
  }

  * #readSteps (key: string): Steps<SessionRecord | null> {
    const content = yield * readUnlocked(this, this.#path(key))
    if (content === undefined) return null
    if (typeof content === 'string') return this.#report(content)
    return content.record.expiresAt <= this.now() ? null : content.record
  }

  // ---- making and deleting files ----

  * #createSteps (key: string, record: SessionRecord): Steps<void> {
    const path = this.#path(key)
    const fd = yield * this.#openNew(path)
    try {
      yield this.io.write(fd, encodeFile(record, 1), 0)
      yield * this.#flush(fd)
    } catch (error) {
      yield * this.remove(path)
      throw error
    } finally {
      yield this.io.close(fd)
    }
  }

  * #openNew (path: string): Steps<number> {
    for (let attempt = 1; ; attempt++) {
      try {
        return (yield this.io.open(path, CREATE, 0o600)) as number
      } catch (error) {
        const code = codeOf(error)
        if (code === 'EEXIST') throw new ConflictError('exists already')
        if (code !== 'ENOENT' || attempt > 1) throw error
        prepareDirectory(this.#directory) // Somebody has deleted the folder while the server runs.
      }
    }
  }

  /** For FileLease. Both files are locked until the new one has taken the name. */
  * replace (path: string, record: SessionRecord, generation: number): Steps<{ fd: number, content: StoredSlot }> {
    const unfinished = `${path}.${randomBytes(8).toString('hex')}.tmp`
    const fd = yield * this.#openNew(unfinished)
    try {
      if (!this.flock.tryLock(fd)) throw new Error('A new file is locked by somebody else')
      const bytes = encodeFile(record, generation)
      yield this.io.write(fd, bytes, 0)
      if (this.durable) yield this.io.sync(fd)
      yield this.io.rename(unfinished, path)
      if (this.durable) yield * this.#syncDirectory()
      return { fd, content: decodeFile(bytes, bytes.length) as StoredSlot }
    } catch (error) {
      yield this.io.close(fd)
      yield * this.remove(unfinished)
      throw error
    }
  }

  /** For FileLease. */
  * remove (path: string): Steps<void> {
    try {
      yield this.io.unlink(path)
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error
    }
    if (this.durable) yield * this.#syncDirectory()
  }

  * #flush (fd: number): Steps<void> {
    if (!this.durable) return
    yield this.io.sync(fd)
    yield * this.#syncDirectory()
  }

  /** A new or deleted name is on disk only when its folder is. */
  * #syncDirectory (): Steps<void> {
    const fd = (yield this.io.open(this.#directory, fs.constants.O_RDONLY)) as number
    try {
      yield this.io.sync(fd)
    } finally {
      yield this.io.close(fd)
    }
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

  /** Returns whether the file was deleted. Never waits: a locked session is in use, so it is not to be pruned. */
  * #pruneSession (name: string, idleSince: number): Steps<boolean> {
    const path = join(this.#directory, name)
    const fd = yield * openToLock(this, path)
    if (fd === undefined) return false
    try {
      if (!this.flock.tryLock(fd)) return false
      const stat = (yield this.io.stat(fd)) as fs.Stats
      if (stat.nlink === 0) return false
      const content = yield * readContent(this, fd, stat)
      const over = typeof content === 'string'
        ? content !== 'foreign' && stat.mtimeMs < Date.now() - (content === 'empty' ? UNFINISHED_AGE : SPOILT_AGE)
        : content.hasMoved || content.record.expiresAt <= this.now() || content.record.lastAccessedAt < idleSince
      if (over) yield * this.remove(path)
      return over
    } finally {
      yield this.io.close(fd)
    }
  }

  /** A crash in the middle of a move to a larger file leaves the unfinished one, unlocked. */
  * #pruneUnfinished (name: string): Steps<void> {
    const path = join(this.#directory, name)
    const fd = yield * openToLock(this, path)
    if (fd === undefined) return
    try {
      if (!this.flock.tryLock(fd)) return
      const stat = (yield this.io.stat(fd)) as fs.Stats
      if (stat.mtimeMs < Date.now() - UNFINISHED_AGE) yield * this.remove(path)
    } finally {
      yield this.io.close(fd)
    }
  }

  #path (key: string): string {
    return join(this.#directory, key)
  }

  #report (reason: Unreadable): null {
    this.#context?.log.warn({ reason }, 'A session file cannot be read; its visitor gets a new session')
    return null
  }
}
