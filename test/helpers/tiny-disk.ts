// A file system that is soon full. Needs the right to mount.
import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export class TinyDisk {
  private constructor (readonly path: string) {}

  static mount (path: string, options: string): TinyDisk {
    mkdirSync(path, { recursive: true })
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', path], { stdio: 'pipe' })
    return new TinyDisk(path)
  }

  /** Whether this user may mount, and this system has what it takes. */
  static isAllowed (path: string): boolean {
    try {
      TinyDisk.mount(path, 'size=4k').unmount()
      return true
    } catch {
      return false
    }
  }

  /** Leaves not one free block. */
  fill (): void {
    for (let i = 0; ; i++) {
      try {
        writeFileSync(join(this.path, `filler${i}`), Buffer.alloc(4096))
      } catch {
        return
      }
    }
  }

  remount (mode: 'ro' | 'rw'): void {
    execFileSync('mount', ['-o', `remount,${mode}`, this.path], { stdio: 'pipe' })
  }

  unmount (): void {
    execFileSync('umount', [this.path], { stdio: 'pipe' })
    rmSync(this.path, { recursive: true })
  }
}
