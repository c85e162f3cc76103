// Catches two holders of one lock: a marker file that only one of them can make, and a log of who came and went.
import { appendFileSync, closeSync, openSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** One stay in the section. Times in ms on the clock that all processes of the host share. */
export interface Stay {
  process: number
  entered: number
  left: number
}

export class CriticalSection {
  readonly #folder: string

  constructor (folder: string) {
    this.#folder = folder
  }

  /** Runs `fn`; writes down when somebody else is inside. */
  async run (name: string, fn: () => unknown): Promise<void> {
    const marker = join(this.#folder, `${name}.inside`)
    const entered = now()
    try {
      closeSync(openSync(marker, 'wx'))
    } catch {
      writeFileSync(join(this.#folder, 'overlaps'), `${name}\n`, { flag: 'a' })
      return
    }
    try {
      await fn()
    } finally {
      unlinkSync(marker)
      appendFileSync(join(this.#folder, `${name}.stays`), `${process.pid} ${entered} ${now()}\n`)
    }
  }

  /** The stays in the order of their ends. */
  stays (name: string): Stay[] {
    return lines(join(this.#folder, `${name}.stays`)).map((line) => {
      const [process, entered, left] = line.split(' ').map(Number)
      return { process: process!, entered: entered!, left: left! }
    })
  }

  /** How often two were inside at once. */
  get overlaps (): number {
    return lines(join(this.#folder, 'overlaps')).length
  }
}

function now (): number {
  return Number(process.hrtime.bigint()) / 1e6
}

function lines (path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n').slice(0, -1)
  } catch {
    return []
  }
}
