// A block of code in the documentation, as a test runs it.
import type { FastifyInstance, InjectOptions } from 'fastify'
import type { Test } from 'tap'

/** What a block needs beside itself, and what must come of it. */
export interface Example {
  /** Code that the reader is supposed to have. */
  given?: string
  /** Code behind that of the block. */
  then?: string
  /** Names of the block that `check` uses. */
  exports?: string[]
  check?: (app: FastifyInstance, t: Test, names: Record<string, any>) => Promise<void>
  /** 'program' and 'commonjs': run in a process of its own, has to end without an error. 'elsewhere': run by another test. */
  as?: 'program' | 'commonjs' | 'elsewhere'
  /** Server programs that `prepare` starts; without them the block is skipped, but not in the CI. */
  programs?: string[]
  /** Starts what the block talks to; returns what to write in place of the addresses in it. */
  prepare?: (t: Test) => Promise<Record<string, string>>
  /** The name under which the next blocks of the document can import it. */
  saveAs?: string
}

/** Sends requests and keeps the cookies. */
export class Visitor {
  readonly cookies: Record<string, string> = {}
  readonly #app: FastifyInstance

  constructor (app: FastifyInstance) {
    this.#app = app
  }

  get header (): string {
    return Object.entries(this.cookies).map(([name, value]) => `${name}=${value}`).join('; ')
  }

  async send (method: 'GET' | 'POST', url: string, payload?: object) {
    const options: InjectOptions = { method, url, cookies: this.cookies, ...(payload && { payload }) }
    const response = await this.#app.inject(options)
    for (const { name, value } of response.cookies) this.cookies[name] = value
    return response
  }
}
