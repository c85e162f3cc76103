// A locked session file.
import type { Lease, SessionRecord, SessionTimes, Ticket } from '../../../types/store.js'
import { type Awaitable, chain, quietly } from '../../awaitable.js'
import { LockLostError } from '../../errors.js'
import { encodeHolder, encodeMoved, encodeSlot, encodeTouch, fits, HOLDER_AT, MOVED_AT, NO_HOLDER, NOT_MOVED, payloadSize, slotOffset, type StoredSlot, TOUCH_AT, WANTED_AT } from './record-format.js'
import { LOCK, openFile, readContent } from './session-file.js'
import type { SessionFolder } from './session-folder.js'

/** A process that waits renews its mark more often than this (ms); an older one was left by a process that died. */
const MARK_LASTS = 1000

export class FileLease implements Lease {
  readonly outcome = 'granted'
  record: SessionRecord
  readonly #key: string
  /** undefined: released or lapsed. */
  #fd: number | undefined
  #content: StoredSlot
  /** Files that the session has outgrown. Those who wait have them open: locked until it is clear what to tell them. */
  #outgrown: number[] = []
  readonly #lockedAt = Date.now()
  #described = false
  /** The thread pool works on the file, so it must not be closed. */
  #working = false
  #lapseAfterwards = false

  constructor (private readonly folder: SessionFolder, private readonly ticket: Ticket, fd: number, content: StoredSlot) {
    this.#key = ticket.key
    this.#fd = fd
    this.#content = content
    this.record = content.record
  }

  get contended (): boolean {
    const { wantedAt } = this.#content
    return wantedAt !== 0 && Date.now() - wantedAt < MARK_LASTS
  }

  save (record: SessionRecord, options?: { release?: boolean }): Awaitable<void> {
    const fd = this.#fd ?? this.#retake()
    this.#working = true
    let written
    try {
      written = this.#write(fd, record)
    } catch (error) {
      this.#worked()
      throw error
    }
    return chain(written, () => {
      this.record = record
      this.#worked()
      // The write wakes those who wait, but too early if it took long.
      if (options?.release === true) this.#end(!this.folder.durable && this.folder.io.warm === undefined)
    }, (error) => {
      this.#worked()
      throw error
    })
  }

  touch (times: SessionTimes, options?: { release?: boolean }): void {
    const fd = this.#fd ?? this.#retake()
    this.folder.io.write(fd, encodeTouch(this.#content.generation, times), TOUCH_AT)
    this.record = { ...this.record, ...times }
    if (options?.release === true) this.#end(true)
  }

  destroy (options?: { movedTo?: string | null }): Awaitable<void> {
    const { folder } = this
    const fd = this.#fd ?? this.#retake()
    const failed = (error: unknown): never => {
      // It is still there, so it must not say that it has moved.
      if (options?.movedTo !== undefined) quietly(() => folder.io.write(fd, NOT_MOVED, MOVED_AT))
      throw error
    }
    let removed
    try {
      // Written before the name goes: those who wait find it in the file that they hold open.
      if (options?.movedTo !== undefined) {
        for (const file of [fd, ...this.#outgrown]) folder.io.write(file, encodeMoved(options.movedTo), MOVED_AT)
      }
      removed = folder.remove(folder.path(this.#key))
    } catch (error) {
      return failed(error)
    }
    return chain(removed, () => {
      this.#fd = undefined
      quietly(() => folder.io.close(fd))
      this.#leaveOutgrown()
    }, failed)
  }

  release (): void {
    this.#end(false)
  }

  /** Those who wait watch the file for a change; if nothing was `written` just now, one is made. */
  #end (written: boolean): void {
    const fd = this.#fd
    if (fd === undefined) return
    this.#fd = undefined
    const { folder } = this
    // What was saved stays saved; if this fails, others only wait longer.
    quietly(() => {
      if (this.#described) folder.io.write(fd, NO_HOLDER, HOLDER_AT)
      else if (!written) this.#wakeWaiters(fd)
    })
    folder.park(this.#key, fd)
    this.#leaveOutgrown()
  }

  #leaveOutgrown (): void {
    for (const fd of this.#outgrown.splice(0)) {
      quietly(() => this.#wakeWaiters(fd))
      quietly(() => this.folder.io.close(fd))
    }
  }

  lapse (): void {
    if (this.#working) this.#lapseAfterwards = true
    else this.release()
  }

  describe (): void {
    if (this.#fd === undefined || this.#working || this.#described) return
    const fd = this.#fd
    const { method, route } = this.ticket
    this.#described = true
    quietly(() => this.folder.io.write(fd, encodeHolder({ method, route, since: Date.now() }), HOLDER_AT))
  }

  #write (fd: number, record: SessionRecord): Awaitable<void> {
    const { io, durable } = this.folder
    const generation = this.#content.generation + 1
    const { slotSize } = this.#content
    const payload = payloadSize(record)
    if (!fits(payload, slotSize)) {
      return chain(this.folder.replace(this.folder.path(this.#key), record, generation), (larger) => {
        // Those who wait hold the old file open; once they get its lock they see that it has no name any more.
        this.#fd = larger.fd
        this.#content = larger.content
        this.#outgrown.push(fd)
      })
    }
    // Somebody may have deleted the folder behind our back, and then nothing would be saved. A look costs as much as
    // the write, so it is left out when there was hardly time for that.
    if (Date.now() - this.#lockedAt > 1 && io.stat(fd).nlink === 0) throw new LockLostError()
    const slot = 1 - this.#content.slot
    const bytes = encodeSlot(record, payload, generation, io.warm === undefined)
    const written = io.save(fd, bytes, slotOffset(slot, slotSize))
    return chain(chain(written, () => durable ? io.flush(fd) : undefined), () => {
      this.#content.generation = generation
      this.#content.slot = slot
    })
  }

  #worked (): void {
    this.#working = false
    if (this.#lapseAfterwards) this.release()
  }

  /** Rule S1: who lost the lock may still write if nobody holds it now and nobody has written since. */
  #retake (): number {
    const { io, flock, maxRecordSize } = this.folder
    const fd = openFile(io, this.folder.path(this.#key), LOCK)
    if (fd === undefined) throw new LockLostError()
    try {
      if (!flock.tryLock(fd)) throw new LockLostError()
      const stat = io.stat(fd)
      const content = readContent(io, fd, stat, maxRecordSize)
      if (stat.nlink === 0 || typeof content === 'string' || content.hasMoved || content.generation !== this.#content.generation) throw new LockLostError()
    } catch (error) {
      io.close(fd)
      throw error
    }
    this.#fd = fd
    return fd
  }

  #wakeWaiters (fd: number): void {
    const { io } = this.folder
    io.read(fd, mark, mark.length, WANTED_AT)
    if (mark.readDoubleLE() !== 0) io.write(fd, mark, WANTED_AT)
  }
}

const mark = Buffer.alloc(8)
