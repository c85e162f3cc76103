// A locked session file.
import type { Stats } from 'node:fs'
import type { Lease, SessionRecord, SessionTimes, Ticket } from '../../../types/store.js'
import { type Awaitable, quietly, run, type Steps } from '../../awaitable.js'
import { LockLostError } from '../../errors.js'
import type { FileTools } from './session-file.js'
import { openToLock, readContent } from './session-file.js'
import { encodeHolder, encodeMoved, encodeSlot, fits, HOLDER_AT, MOVED_AT, NO_HOLDER, payloadSize, slotOffset, type StoredSlot, WANTED_AT } from './record-format.js'

/** What the lease needs of its store beside the file. */
export interface LeaseHost extends FileTools {
  readonly durable: boolean
  now (): number
  /** Replaces the file by a larger one that holds the record; returns the new file, locked. */
  replace (path: string, record: SessionRecord, generation: number): Steps<{ fd: number, content: StoredSlot }>
  /** Deletes the file's name; that it is gone already is fine. */
  remove (path: string): Steps<void>
}

const NOBODY = Buffer.alloc(8)
const wantedBuffer = Buffer.alloc(8)

export class FileLease implements Lease {
  readonly outcome = 'granted'
  record: SessionRecord
  contended = false
  /** undefined: released or lapsed. */
  #fd: number | undefined
  #content: StoredSlot
  #described = false
  /** In the thread pool; the file must not be closed under it. */
  #working = false
  #lapseAfterwards = false

  constructor (private readonly host: LeaseHost, private readonly path: string, private readonly ticket: Ticket, fd: number, content: StoredSlot) {
    this.#fd = fd
    this.#content = content
    this.record = content.record
  }

  save (record: SessionRecord, options?: { release?: boolean }): Awaitable<void> {
    return run(this.#work(this.#saveSteps(record), options?.release === true))
  }

  touch (times: SessionTimes, options?: { release?: boolean }): Awaitable<void> {
    return run(this.#work(this.#touchSteps(times), options?.release === true))
  }

  destroy (options?: { movedTo?: string | null }): Awaitable<void> {
    return run(this.#work(this.#destroySteps(options?.movedTo), true))
  }

  release (): Awaitable<void> {
    if (this.#fd !== undefined) return run(this.#releaseSteps())
  }

  lapse (): void {
    if (this.#working) this.#lapseAfterwards = true
    else quietly(() => this.release())
  }

  describe (): void {
    if (this.#fd === undefined || this.#working) return
    this.#described = true
    const { method, route } = this.ticket
    const text = encodeHolder({ method, route, since: Date.now() })
    quietly(() => run(this.#work(this.#describeSteps(text), false)))
  }

  /** Runs one operation on the file, under the lock, which a lapsed lease takes again if it still may. */
  * #work (operation: Steps<void>, release: boolean): Steps<void> {
    this.#working = true
    try {
      if (this.#fd === undefined) yield * this.#retake()
      yield * operation
      if (release) yield * this.#releaseSteps()
    } finally {
      this.#working = false
      if (this.#lapseAfterwards && this.#fd !== undefined) yield * this.#releaseSteps()
    }
  }

  /** Rule S1: who lost the lock may still write if nobody holds it now and nobody has written since. */
  * #retake (): Steps<void> {
    const { host } = this
    const fd = yield * openToLock(host, this.path)
    if (fd === undefined) throw new LockLostError()
    try {
      if (!host.flock.tryLock(fd)) throw new LockLostError()
      const stat = (yield host.io.stat(fd)) as Stats
      const content = yield * readContent(host, fd, stat)
      if (stat.nlink === 0 || typeof content === 'string' || content.generation !== this.#content.generation) throw new LockLostError()
    } catch (error) {
      yield host.io.close(fd)
      throw error
    }
    this.#fd = fd
  }

  * #saveSteps (record: SessionRecord): Steps<void> {
    const { host } = this
    const { io } = host
    const generation = this.#content.generation + 1
    const { slotSize } = this.#content
    const payload = payloadSize(record)
    // Somebody may have deleted the file, or the whole folder, behind our back: then nothing would be saved.
    if (((yield io.stat(this.#fd!)) as Stats).nlink === 0) throw new LockLostError()
    if (fits(payload, slotSize)) {
      const slot = 1 - this.#content.slot
      yield io.write(this.#fd!, encodeSlot(record, payload, generation, io.sharedBuffer), slotOffset(slot, slotSize))
      if (host.durable) yield io.sync(this.#fd!)
      this.#content = { ...this.#content, record, generation, slot }
    } else {
      const old = this.#fd!
      const larger = yield * host.replace(this.path, record, generation)
      this.#fd = larger.fd
      this.#content = larger.content
      // Those who wait hold the old file open; once they get its lock they see that it has no name any more.
      yield io.close(old)
    }
    this.record = record
  }

  * #touchSteps ({ lastAccessedAt, expiresAt }: SessionTimes): Steps<void> {
    yield this.host.io.setTimes(this.#fd!, lastAccessedAt / 1000, expiresAt / 1000)
    this.record = { ...this.record, lastAccessedAt, expiresAt }
  }

  * #destroySteps (movedTo: string | null | undefined): Steps<void> {
    const { io } = this.host
    // Written before the name goes: those who wait find it in the file that they hold open.
    if (movedTo !== undefined) yield io.write(this.#fd!, encodeMoved(movedTo), MOVED_AT)
    yield * this.host.remove(this.path)
  }

  * #describeSteps (text: Buffer): Steps<void> {
    yield this.host.io.write(this.#fd!, text, HOLDER_AT)
  }

  /** Closing the file frees the lock. If somebody waits, a change to the file wakes them. */
  * #releaseSteps (): Steps<void> {
    const { io, flock } = this.host
    const fd = this.#fd!
    this.#fd = undefined
    try {
      const wanted = io.sharedBuffer === undefined ? Buffer.alloc(8) : wantedBuffer
      yield io.read(fd, wanted, 8, WANTED_AT)
      if (this.#described) yield io.write(fd, NO_HOLDER, HOLDER_AT)
      if (wanted.readDoubleLE(0) !== 0) {
        this.contended = true
        yield io.write(fd, NOBODY, WANTED_AT)
        flock.unlock(fd)
      }
    } finally {
      yield io.close(fd)
    }
  }
}
