// File operations that fail, or end the process, where a test says so.
import type { Awaitable } from '../../lib/awaitable.js'
import type { FileIO } from '../../lib/stores/file/file-io.js'
import type { FileStore } from '../../lib/stores/file/index.js'

export type Operation = keyof FileIO

/** One operation on its way to the file system: to be let through, replaced or refused. */
export interface Call {
  readonly operation: Operation
  readonly args: readonly any[]
  /** Does it, or with other arguments something like it. */
  proceed (...args: unknown[]): Awaitable<any>
}

export function interceptIO (io: FileIO, intercept: (call: Call) => Awaitable<unknown>): FileIO {
  const wrapped: Record<string, unknown> = {}
  for (const operation of Object.keys(io) as Operation[]) {
    const original = io[operation] as (...args: unknown[]) => Awaitable<unknown>
    wrapped[operation] = (...args: unknown[]) => intercept({ operation, args, proceed: (...other) => original(...(other.length > 0 ? other : args)) })
  }
  return wrapped as unknown as FileIO
}

/** Puts something between a store and the file system; returns what takes it away again. */
export function interceptStore (store: FileStore, intercept: (call: Call) => Awaitable<unknown>): () => void {
  const { folder } = store
  const { io } = folder
  folder.io = interceptIO(io, intercept)
  return () => { folder.io = io }
}

/** Lets only the first half of a write through. */
export function writeHalf ({ args: [fd, bytes, position], proceed }: Call): Awaitable<unknown> {
  return proceed(fd, (bytes as Uint8Array).subarray(0, Math.ceil((bytes as Uint8Array).length / 2)), position)
}
