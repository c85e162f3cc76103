// Runs the scripts for one session: its key, the arguments all of them take, and a limit to the waiting.
import type { SessionTimes } from '../../../types/store.js'
import { StoreUnavailableError } from '../../errors.js'
import { type RaceReaction, TimeLimit } from '../../time-limit.js'
import type { Argument, Connection } from './connection.js'
import { type Scripts, scriptsFor } from './scripts.js'

/** The server's clock may be ahead of ours; what has expired is decided by ours. In ms. */
const GRACE = 10_000
/** About 300 years: what Redis can add to its clock. In ms. */
const LONGEST = 1e13

export interface ScriptSettings {
  readonly prefix: string
  readonly lease: number
  readonly claim: number
  readonly alive: number
  readonly timeout: number
}

export class SessionScripts {
  now: () => number = Date.now
  maxRecordSize = Infinity

  readonly #limit: TimeLimit
  readonly #scripts: Scripts
  /** Of those who wait, without the name of the process. */
  readonly channel: string

  constructor (private readonly connection: Connection, private readonly settings: ScriptSettings) {
    this.#limit = new TimeLimit(settings.timeout, (cause) => new StoreUnavailableError({ cause }))
    this.channel = `${settings.prefix}wake:`
    this.#scripts = scriptsFor({ ...settings, cluster: connection.cluster })
  }

  get lease (): number { return this.settings.lease }
  get claim (): number { return this.settings.claim }

  run (script: keyof Scripts, key: string, token: string, ...args: Argument[]): Promise<unknown> {
    return this.race(script, key, token, args)
  }

  /** As `run`, with what `TimeLimit.race` does about the answer. */
  race<R = unknown> (name: keyof Scripts, key: string, token: string, args: Argument[], reaction: RaceReaction<unknown, R> = {}): Promise<R> {
    const { sha, text } = this.#scripts[name]
    const session = `${this.settings.prefix}{${key}}`
    const all = [token, String(this.now()), ...args, this.channel]
    // The server forgets scripts at a restart, a failover and SCRIPT FLUSH; EVAL teaches it again.
    const again = (error: unknown) => isNoScript(error) ? this.connection.eval(text, session, all) : undefined
    return this.#limit.race(this.connection.evalSha(sha, session, all), { again, ...reaction })
  }

  /** A client may keep commands for a server that is away; a request must not wait for that. */
  bounded<T> (answer: Promise<T>): Promise<T> {
    return this.#limit.race(answer)
  }

  /** For Redis, which removes the session by itself some time after it has expired. */
  timeToLive ({ expiresAt }: SessionTimes): string {
    return String(Math.ceil(Math.min(Math.max(expiresAt - this.now(), 0) + GRACE, LONGEST)))
  }

  /** As Lua can read it; it has no Infinity. */
  get maxSize (): string { return String(Math.min(this.maxRecordSize, Number.MAX_SAFE_INTEGER)) }
}

function isNoScript (error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('NOSCRIPT')
}
