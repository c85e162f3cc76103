// Everything that is logged in a case, as text and by level.
import type { StoreContext } from '../../types/store.js'

/** Levels as pino counts them. */
const LEVELS = { debug: 20, warn: 40, error: 50 }
type Level = keyof typeof LEVELS

export class LogLines {
  #lines: string[] = []

  /** As a stream for Fastify's logger. */
  readonly write = (line: string): void => { this.#lines.push(line) }

  /** As the log of a store that is opened without Fastify. */
  readonly log: StoreContext['log'] = {
    debug: (details, message) => this.#add('debug', details, message),
    warn: (details, message) => this.#add('warn', details, message),
    error: (details, message) => this.#add('error', details, message)
  }

  get text (): string {
    return this.#lines.join('')
  }

  /** The lines of this level or a graver one. */
  from (level: Level): string[] {
    return this.#lines.filter(line => (JSON.parse(line) as { level: number }).level >= LEVELS[level])
  }

  forget (): void {
    this.#lines = []
  }

  #add (level: Level, details: object, msg: string): void {
    this.#lines.push(`${JSON.stringify({ level: LEVELS[level], ...details, msg })}\n`)
  }
}
