// Tells when a session file changes, so that those who wait for its lock need not poll quickly.
import { watch, type FSWatcher } from 'node:fs'

/**
 * Calls `onChange` at each change of the file, until closed. Only a help: the kernel may have no watch left to give,
 * and it does not report that a process died, so the caller asks from time to time anyway.
 */
export class FileWatch {
  readonly #watcher: FSWatcher | null

  constructor (path: string, onChange: () => void) {
    this.#watcher = tryWatch(path, onChange)
  }

  close (): void {
    this.#watcher?.close()
  }
}

function tryWatch (path: string, onChange: () => void): FSWatcher | null {
  try {
    return watch(path, { persistent: false }, onChange).on('error', () => {})
  } catch {
    return null
  }
}
