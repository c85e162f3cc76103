// Runs the scripts for one session: its keys, the arguments all of them take, and a limit to the waiting.
import type { SessionTimes } from '../../../types/store.js'
import { StoreUnavailableError } from '../../errors.js'
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

  constructor (private readonly connection: Connection, private readonly settings: ScriptSettings) {}

  get lease (): number { return this.settings.lease }
  get claim (): number { return this.settings.claim }
  get channel (): string { return `${this.settings.prefix}wake:` }

  async run (script: Script, key: string, token: string, ...args: Argument[]): Promise<unknown> {
    return await this.bounded(this.#send(script, key, token, args))
  }

  /** Who has got an error has given up, but the command may have been done, or may still be: `undo` runs now and then. */
  async runOrUndo (script: Script, key: string, token: string, args: Argument[], undo: () => void): Promise<unknown> {
    const sent = this.#send(script, key, token, args)
    try {
      return await this.bounded(sent)
    } catch (error) {
      undo()
      sent.then(undo, () => {})
      throw error
    }
  }

  /** A client may keep commands for a server that is away; a request must not wait for that. */
  async bounded<T> (answer: Promise<T>): Promise<T> {
    let timer
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`No answer after ${this.settings.timeout} ms`)), this.settings.timeout)
    })
    try {
      return await Promise.race([answer, late])
    } catch (error) {
      throw new StoreUnavailableError({ cause: error })
    } finally {
      clearTimeout(timer)
    }
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
