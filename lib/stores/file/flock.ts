// flock(2) through fs-ext. Only the non-blocking form is used, and only on the JavaScript thread: a try costs less
// than a microsecond. The blocking form occupies one of libuv's four threads for each waiter; with four of them
// the holder's own file operations never run.
import type * as FsExt from 'fs-ext'
import { FlockUnavailableError } from '../../errors.js'
import { codeOf } from './file-io.js'

export interface Flock {
  /** Whether the lock was free; it is now held through this file descriptor, until that is closed. */
  tryLock (fd: number): boolean
  unlock (fd: number): void
}

/** Throws `FST_SESSION_FLOCK_UNAVAILABLE`, with the command to run, when fs-ext is not there or was not compiled. */
export async function loadFlock (): Promise<Flock> {
  let flockSync: typeof FsExt.flockSync
  try {
    ({ flockSync } = await import('fs-ext'))
  } catch (cause) {
    throw new FlockUnavailableError({ cause })
  }
  return {
    tryLock (fd) {
      try {
        flockSync(fd, 'exnb')
        return true
      } catch (error) {
        const code = codeOf(error)
        if (code === 'EAGAIN' || code === 'EWOULDBLOCK') return false
        throw error
      }
    },
    unlock (fd) {
      flockSync(fd, 'un')
    }
  }
}
