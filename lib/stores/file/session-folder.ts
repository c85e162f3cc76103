// The folder: makes, replaces and deletes session files, and keeps those used last open.
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import type { SessionRecord } from '../../../types/store.js'
import { type Awaitable, attempt, chain, quietly } from '../../awaitable.js'
import { ConflictError } from '../../errors.js'
import { prepareDirectory } from './directory.js'
import { codeOf, type FileIO } from './file-io.js'
import type { Flock } from './flock.js'
import { IdleFiles } from './idle-files.js'
import { encodeFile, newSlot, type StoredSlot } from './record-format.js'
import { CREATE, LOCK, openFile } from './session-file.js'

/** How many files of sessions that were used last stay open. */
const MAX_IDLE = 256

export class SessionFolder {
  flock!: Flock
  maxRecordSize = Infinity
  readonly #idle = new IdleFiles(MAX_IDLE, (fd) => quietly(() => this.io.close(fd)))

  constructor (readonly directory: string, public io: FileIO, readonly durable: boolean) {}

  close (): void {
    this.#idle.end()
  }

  path (name: string): string {
    return `${this.directory}/${name}`
  }

  // ---- opening ----

  /** Opens the session of a key to lock it; undefined: there is none. */
  open (key: string): number | undefined {
    return this.#idle.take(key) ?? this.makingRoom(() => openFile(this.io, this.path(key), LOCK))
  }

  /** Unlocks a file and keeps it open for the next request. */
  park (key: string, fd: number): void {
    this.flock.unlock(fd)
    this.#idle.put(key, fd)
  }

  /** When the process may open no more files, it closes those that are only kept open, and tries again. */
  makingRoom<T> (open: () => T): T {
    try {
      return open()
    } catch (error) {
      if (codeOf(error) !== 'EMFILE') throw error
      this.#idle.closeAll()
      return open()
    }
  }

  // ---- making and deleting ----

  /** Throws `FST_SESSION_CONFLICT` when the file is there already. */
  create (key: string, record: SessionRecord): Awaitable<void> {
    const path = this.path(key)
    const fd = this.#openNew(path)
    return chain(this.#write(fd, encodeFile(record, 1), path, () => {}), () => this.io.close(fd))
  }

  /** Replaces a file by a larger one; answers with that, locked. The caller has locked the old one. */
  replace (path: string, record: SessionRecord, generation: number): Awaitable<{ fd: number, content: StoredSlot }> {
    const unfinished = `${path}.${randomBytes(8).toString('hex')}.tmp`
    const fd = this.#openNew(unfinished)
    return this.#write(fd, encodeFile(record, generation), unfinished, () => {
      if (!this.flock.tryLock(fd)) throw new Error('A new file is locked by somebody else')
      this.io.rename(unfinished, path)
      return { fd, content: newSlot(record, generation) }
    })
  }

  /** Deletes a file's name; that it is gone already is fine. */
  remove (path: string): Awaitable<void> {
    try {
      this.io.unlink(path)
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error
    }
    return this.#flushNames()
  }

  #openNew (path: string): number {
    for (let attempt = 1; ; attempt++) {
      try {
        return this.makingRoom(() => this.io.open(path, CREATE, 0o600))
      } catch (error) {
        const code = codeOf(error)
        if (code === 'EEXIST') throw new ConflictError('exists already')
        if (code !== 'ENOENT' || attempt > 1) throw error
        prepareDirectory(this.directory) // Somebody has deleted the folder while the server runs.
      }
    }
  }

  /** Writes a new file, then runs `action`. If anything fails, the file is closed and deleted. */
  #write<T> (fd: number, bytes: Buffer, path: string, action: () => T): Awaitable<T> {
    const { io, durable } = this
    const steps = () => chain(chain(io.save(fd, bytes, 0), () => durable ? io.flush(fd) : undefined), () => {
      const result = action()
      return chain(this.#flushNames(), () => result)
    })
    return attempt(steps, (result) => result, (error) => {
      io.close(fd)
      quietly(() => this.remove(path))
      throw error
    })
  }

  /** A new or deleted name is on disk only when its folder is. */
  #flushNames (): Awaitable<void> {
    if (!this.durable) return
    const { io } = this
    const fd = io.open(this.directory, constants.O_RDONLY)
    const close = () => io.close(fd)
    return attempt(() => io.flush(fd), close, (error) => {
      close()
      throw error
    })
  }
}
