// The folder of the sessions: made with mode 0700, and looked at before it is trusted.
import * as fs from 'node:fs'
import { resolve } from 'node:path'
import { DirectoryError } from '../../errors.js'

/**
 * Makes the folder if it is missing. Throws `FST_SESSION_DIRECTORY` for a symbolic link, for a folder of another
 * user, and for one that others may write to: they could plant or swap files. Returns whether others may list it.
 */
export function prepareDirectory (directory: string): { listable: boolean } {
  try {
    fs.mkdirSync(directory, { recursive: true, mode: 0o700 })
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw unusable('it cannot be made', cause)
  }
  const stat = fs.lstatSync(directory)
  if (stat.isSymbolicLink()) throw unusable('it is a symbolic link; name its target instead')
  if (!stat.isDirectory()) throw unusable('it is not a folder')
  const user = process.geteuid?.()
  if (user !== undefined && stat.uid !== user) throw unusable('it belongs to another user')
  if ((stat.mode & 0o022) !== 0) throw unusable('others may write to it; run chmod 700 on it')
  return { listable: (stat.mode & 0o055) !== 0 }
}

export function absolute (directory: string): string {
  return resolve(directory)
}

function unusable (reason: string, cause?: unknown): Error {
  return new DirectoryError(reason, { cause })
}
