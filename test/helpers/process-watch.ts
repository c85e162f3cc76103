// Watches the process for what no request may do to it: crash it, or leave something behind.
import { readdirSync, readlinkSync } from 'node:fs'

export class ProcessWatch {
  /** Uncaught exceptions, unhandled rejections and warnings of listener leaks, as text. */
  readonly problems: string[] = []
  readonly #fds = openFiles()
  readonly #listeners = processListeners()

  readonly #crash = (error: unknown) => {
    this.problems.push(`not caught: ${error instanceof Error ? error.stack : String(error)}`)
  }

  readonly #warning = (warning: Error) => {
    if (warning.name === 'MaxListenersExceededWarning') this.problems.push(`warning: ${warning.message}`)
  }

  constructor () {
    process.on('uncaughtException', this.#crash)
    process.on('unhandledRejection', this.#crash)
    process.on('warning', this.#warning)
  }

  /** Waits until as many files are open as at the start, and returns everything that went wrong. */
  async end (bound = 2000): Promise<string[]> {
    const deadline = performance.now() + bound
    while (openFiles() > this.#fds && performance.now() < deadline) {
      await new Promise(resolve => setTimeout(resolve, 20))
    }
    process.off('uncaughtException', this.#crash)
    process.off('unhandledRejection', this.#crash)
    process.off('warning', this.#warning)
    const fds = openFiles()
    const listeners = processListeners()
    if (fds > this.#fds) this.problems.push(`${fds - this.#fds} file descriptors more than at the start`)
    if (listeners > this.#listeners) this.problems.push(`${listeners - this.#listeners} listeners on process more than at the start`)
    return this.problems
  }
}

/** 0 where the system does not tell. */
export function openFiles (): number {
  try {
    return readdirSync('/proc/self/fd').filter(isOurs).length
  } catch {
    return 0
  }
}

/** What Node opens once and keeps: for its first warning, and for the first fs.watch(). */
const ITS_OWN = ['/dev/null', 'anon_inode:inotify']

function isOurs (fd: string): boolean {
  try {
    return !ITS_OWN.includes(readlinkSync(`/proc/self/fd/${fd}`))
  } catch {
    return false // The folder itself, which is open while it is read.
  }
}

function processListeners (): number {
  return process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0)
}
