// Runs the scripts for one session: its keys, the arguments all of them take, and a limit to the waiting.
import type { SessionTimes } from '../../../types/store.js'
import { StoreUnavailableError } from '../../errors.js'
import { TimeLimit } from '../../time-limit.js'
import type { Argument, Connection } from './connection.js'
import type { Script } from './lua.js'

/** Larger records are not sent along with the lock, the next holder fetches them. In bytes. */
const INLINE_SIZE = 16 * 1024
/** The server's clock may be ahead of ours; what has expired is decided by ours. In ms. */
const GRACE = 10_000
/** About 300 years: what Redis can add to its clock. In ms. */
const LONGEST = 1e13

export interface ScriptSettings { readonly prefix: string, readonly lease: number, readonly claim: number, readonly timeout: number }

export class SessionScripts {
  now: () => number = Date.now
  maxRecordSize = Infinity

  readonly #limit: TimeLimit

  constructor (private readonly connection: Connection, private readonly settings: ScriptSettings) {
    this.#limit = new TimeLimit(settings.timeout, (cause) => new StoreUnavailableError({ cause }))
  }

  get lease (): number { return this.settings.lease }
  get claim (): number { return this.settings.claim }
  get channel (): string { return `${this.settings.prefix}wake:` }

  run (script: Script, key: string, token: string, ...args: Argument[]): Promise<unknown> {
    return this.bounded(this.#send(script, key, token, args))
  }

  /** `undo` runs when the answer comes after the time is up: nobody wants any more what the command has done. */
  runOrUndo (script: Script, key: string, token: string, args: Argument[], undo: () => void): Promise<unknown> {
    return this.#limit.race(this.#send(script, key, token, args), { late: undo })
  }

  /** A client may keep commands for a server that is away; a request must not wait for that. */
  bounded<T> (answer: Promise<T>): Promise<T> {
    return this.#limit.race(answer)
  }

  /** For Redis, which removes the session by itself some time after it has expired. */
  timeToLive ({ expiresAt }: SessionTimes): string {
    return String(Math.ceil(Math.min(Math.max(expiresAt - this.now(), 0) + GRACE, LONGEST)))
  }

  #send (script: Script, key: string, token: string, args: Argument[]): Promise<unknown> {
    const { prefix, claim } = this.settings
    const max = Math.min(this.maxRecordSize, Number.MAX_SAFE_INTEGER)
    return this.connection.run(script, [`${prefix}{${key}}`],
      [token, String(this.now()), String(claim), this.channel, this.connection.cluster ? '1' : '0', String(INLINE_SIZE), String(max), ...args])
  }
}
