// Going through all files of the folder, and deleting those that are over.
import { promises } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { quietly } from '../../awaitable.js'
import { codeOf } from './file-io.js'
import { LOCK, openFile, readContent } from './session-file.js'
import type { SessionFolder } from './session-folder.js'

const SESSION_NAME = /^[0-9a-f]{64}$/
const UNFINISHED_NAME = /^[0-9a-f]{64}\.[0-9a-f]{16}\.tmp$/

/** Unfinished files younger than this (ms) may still be in the making. */
const UNFINISHED_AGE = 60_000
/** Files with no complete record are kept for so many ms, for a look at them. */
const SPOILT_AGE = 24 * 60 * 60_000
/** A long scan gives way to other work after so many ms. */
const TURN = 3

/** A session, or what a crash in the middle of a move to a larger file has left. */
export type FileKind = 'session' | 'unfinished'

/** All files of ours in the folder. */
export async function * filesIn (directory: string): AsyncGenerator<{ name: string, kind: FileKind }> {
  let folder
  try {
    folder = await promises.opendir(directory, { bufferSize: 512 })
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return
    throw error
  }
  let turnEnds = performance.now() + TURN
  for await (const { name } of folder) {
    if (SESSION_NAME.test(name)) yield { name, kind: 'session' }
    else if (UNFINISHED_NAME.test(name)) yield { name, kind: 'unfinished' }
    if (performance.now() < turnEnds) continue
    await nextTurn()
    turnEnds = performance.now() + TURN
  }
}

export interface Age {
  readonly now: number
  readonly idleSince: number
}

/** Deletes a file that is over; returns whether it was. A locked one is in use, so it is not. */
export function pruneFile (folder: SessionFolder, path: string, kind: FileKind, age: Age): boolean {
  const { io, flock } = folder
  const fd = openFile(io, path, LOCK)
  if (fd === undefined) return false
  try {
    // Looked at before it is locked, too: most are not over, and to lock them would make others wait.
    if (!isOver(folder, fd, kind, age) || !flock.tryLock(fd) || !isOver(folder, fd, kind, age)) return false
    quietly(() => folder.remove(path))
    return true
  } finally {
    io.close(fd)
  }
}

function isOver ({ io, maxRecordSize }: SessionFolder, fd: number, kind: FileKind, { now, idleSince }: Age): boolean {
  const stat = io.stat(fd)
  if (stat.nlink === 0) return false
  const age = Date.now() - stat.mtimeMs
  if (kind === 'unfinished') return age > UNFINISHED_AGE
  const content = readContent(io, fd, stat, maxRecordSize)
  switch (content) {
    case 'foreign': return false
    case 'empty': return age > UNFINISHED_AGE
    case 'torn': return age > SPOILT_AGE
    default: return content.hasMoved || content.record.expiresAt <= now || content.record.lastAccessedAt < idleSince
  }
}
