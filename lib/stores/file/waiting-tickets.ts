// Those who wait for the lock of a file. They keep it open: if it is replaced meanwhile, it still says where its
// session went. And they watch it and mark it, so that its release makes a change to be seen.
import type { Busy, Ticket } from '../../../types/store.js'
import { FileWatch } from './file-watch.js'
import { decodeHolder, HEADER_SIZE, WANTED_AT } from './record-format.js'
import type { SessionFolder } from './session-folder.js'

interface Waiting {
  readonly fd: number
  readonly watch: FileWatch
}

/** Asks again after this many ms when nothing has changed: a process that dies frees its lock without a sign. */
const RETRY = 15
/** Who waits renews its mark in the file when it is older than this (ms). */
const MARK_RENEWAL = 500

export class WaitingTickets {
  readonly #tickets = new WeakMap<Ticket, Waiting>()

  constructor (private readonly folder: SessionFolder) {}

  /** The file that a ticket waits for. */
  fileOf (ticket: Ticket): number | undefined {
    return this.#tickets.get(ticket)?.fd
  }

  /** Begins to wait, or goes on. */
  wait (ticket: Ticket, path: string, fd: number): void {
    if (!this.#tickets.has(ticket)) {
      this.#tickets.set(ticket, { fd, watch: new FileWatch(path, () => ticket.wake()) })
    }
    const { io } = this.folder
    const mark = Buffer.alloc(8)
    io.read(fd, mark, mark.length, WANTED_AT)
    // One of many marks it, and not at each try: each mark is a change that wakes the others.
    if (Date.now() - mark.readDoubleLE() < MARK_RENEWAL) return
    mark.writeDoubleLE(Date.now())
    io.write(fd, mark, WANTED_AT)
  }

  /** The file stays open: whoever waited for it has it now. */
  end (ticket: Ticket): void {
    this.#tickets.get(ticket)?.watch.close()
    this.#tickets.delete(ticket)
  }

  giveUp (ticket: Ticket): void {
    const fd = this.fileOf(ticket)
    this.end(ticket)
    if (fd !== undefined) this.folder.io.close(fd)
  }

  busy (fd: number): Busy {
    return {
      outcome: 'busy',
      retryAfter: RETRY + Math.random() * RETRY,
      holder: () => {
        const header = Buffer.alloc(HEADER_SIZE)
        this.folder.io.read(fd, header, HEADER_SIZE, 0)
        const holder = decodeHolder(header)
        return holder === null ? null : { method: holder.method, route: holder.route, heldFor: Math.max(0, Date.now() - holder.since) }
      }
    }
  }
}
