// Runs the scripts for one session: its key, the arguments all of them take, and a limit to the waiting.
import type { SessionTimes } from '../../../types/store.js'
import { storeError } from '../../errors.js'
import { TimeLimit } from '../../time-limit.js'
import { type AnswerReaction, Batcher } from '../batcher.js'
import type { Argument, Connection } from './connection.js'
import { ScriptSender, type Step } from './script-sender.js'
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
  readonly #batchers: Record<keyof Scripts, Batcher<Step, unknown>>
  /** Of those who wait, without the name of the process. */
  readonly channel: string

  constructor (connection: Connection, private readonly settings: ScriptSettings) {
    this.#limit = new TimeLimit(settings.timeout, storeError)
    this.channel = `${settings.prefix}wake:`
    const scripts = scriptsFor({ ...settings, cluster: connection.cluster })
    const batchers = Object.entries(scripts).map(([name, script]) => [name, new Batcher(new ScriptSender(connection, script, this.#limit), this.#limit)])
    this.#batchers = Object.fromEntries(batchers)
  }

  get lease (): number { return this.settings.lease }
  get claim (): number { return this.settings.claim }

  run (script: keyof Scripts, key: string, token: string, ...args: Argument[]): Promise<unknown> {
    return this.ask(script, key, token, args, { done: (answer) => answer })
  }

  ask<R> (script: keyof Scripts, key: string, token: string, args: Argument[], reaction: AnswerReaction<unknown, R>): Promise<R> {
    const step = { key: `${this.settings.prefix}{${key}}`, args: [token, String(this.now()), ...args, this.channel] }
    return this.#batchers[script].ask(step, reaction)
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
