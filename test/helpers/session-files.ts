// A look into the folder of a file store, from outside.
import { readdirSync, readlinkSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { keyOf } from '../../lib/session/id.js'

export class SessionFiles {
  constructor (readonly path: string) {}

  get names (): string[] {
    return readdirSync(this.path)
  }

  /** Names of files that are no sessions. */
  get leftovers (): string[] {
    return this.names.filter(name => !/^[0-9a-f]{64}$/.test(name))
  }

  /** The file of a session, by its cookie. */
  fileOf (cookie: string): string {
    return join(this.path, keyOf('sessionId', cookie))
  }

  read (cookie: string): Buffer {
    return readFileSync(this.fileOf(cookie))
  }

  write (cookie: string, content: string | Uint8Array): void {
    writeFileSync(this.fileOf(cookie), content)
  }

  remove (cookie: string): void {
    rmSync(this.fileOf(cookie), { recursive: true, force: true })
  }

  /** Makes all files so old that no cleaner takes them for unfinished. */
  age (): void {
    const longAgo = Date.now() / 1000 - 2 * 24 * 60 * 60
    for (const name of this.names) utimesSync(join(this.path, name), longAgo, longAgo)
  }

  /** The permissions of the folder or of a file in it. */
  mode (name = ''): number {
    return statSync(join(this.path, name)).mode & 0o777
  }

  /** How many files of the folder this process has open, deleted ones included. */
  get openFiles (): number {
    return readdirSync('/proc/self/fd').filter((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`).startsWith(`${this.path}/`)
      } catch {
        return false // The one that readdir had open.
      }
    }).length
  }
}
