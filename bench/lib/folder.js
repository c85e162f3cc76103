import { rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Runs `fn` with a new folder under BENCH_DIR (or the system's temporary folder) and removes it, also on Ctrl-C. */
export async function withFolder (fn) {
  const folder = await mkdtemp(join(process.env.BENCH_DIR ?? tmpdir(), 'locked-session-bench-'))
  function interrupted () {
    rmSync(folder, { recursive: true, force: true })
    process.exit(130)
  }
  process.once('SIGINT', interrupted)
  process.once('SIGTERM', interrupted)
  try {
    return await fn(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
    process.off('SIGINT', interrupted)
    process.off('SIGTERM', interrupted)
  }
}
