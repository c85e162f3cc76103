// SIGSTOP takes effect one thread at a time. On a busy machine another thread of the server may answer a request after kill() has returned.
import type { ChildProcess } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** Resolves when every thread of the process stands still. */
export async function freeze (child: ChildProcess): Promise<void> {
  child.kill('SIGSTOP')
  const threads = `/proc/${child.pid}/task`
  if (!existsSync(threads)) return await sleep(100) // Not Linux.
  while (!readdirSync(threads).every(thread => isStopped(`${threads}/${thread}/stat`))) await sleep(1)
}

function isStopped (file: string): boolean {
  // "pid (name) state ...": the name may contain spaces and brackets.
  try {
    return /^.*\) T /s.test(readFileSync(file, 'utf8'))
  } catch {
    return false // The thread has just ended.
  }
}
