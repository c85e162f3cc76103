// A server in a process of its own, and its remote control.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { FileStoreOptions } from '../../lib/stores/file/index.js'
import type { SessionPluginOptions } from '../../types/options.js'
import { compileTo } from './compile.js'
import { freeze } from './freeze.js'
import { Visitor } from './http-client.js'

export interface ServerSettings {
  store: FileStoreOptions
  session?: Omit<SessionPluginOptions, 'store'>
  /** Sections leave traces here; see CriticalSection. */
  traces?: string
}

/** For the fixture network-server. */
export interface NetworkSettings {
  backend: 'redis' | 'postgres' | 'memcached' | 'express-redis' | 'express-postgres'
  /** Where the database server listens. */
  port: number
  /** Of the store, beside its client. */
  options?: object
  session?: Omit<SessionPluginOptions, 'store'>
  traces?: string
}

/** Makes servers that run compiled code; those that live at the end of the test are killed. */
export class ServerHost {
  readonly #code: string
  readonly #running = new Set<ServerProcess>()
  #closed = false

  constructor (t: Test, folder: string) {
    this.#code = join(folder, 'compiled')
    compileTo(this.#code)
    t.teardown(async () => {
      this.#closed = true
      await Promise.all([...this.#running].map(async server => await server.kill()))
    })
  }

  async start (settings: ServerSettings | NetworkSettings, fixture = 'session-server'): Promise<ServerProcess> {
    if (this.#closed) throw new Error('The test is over')
    // Nothing of the test runner's loader is needed there.
    const child = fork(join(this.#code, `test/fixtures/${fixture}.js`), [JSON.stringify(settings)], {
      execArgv: ['--enable-source-maps'],
      env: { PATH: process.env.PATH, NODE_ENV: 'test' }
    })
    const server = new ServerProcess(child)
    this.#running.add(server)
    child.once('exit', () => this.#running.delete(server))
    await server.listening()
    return server
  }

  async startMany (count: number, settings: ServerSettings | NetworkSettings, fixture?: string): Promise<ServerProcess[]> {
    return await Promise.all(Array.from({ length: count }, async () => await this.start(settings, fixture)))
  }
}

export class ServerProcess {
  port = 0
  readonly #child: ChildProcess
  readonly #exit: Promise<unknown>
  #calls = 0
  readonly #answers = new Map<number, { resolve (value: any): void, reject (error: Error): void }>()

  constructor (child: ChildProcess) {
    this.#child = child
    this.#exit = once(child, 'exit')
    child.on('message', ({ call, value, error }: { call: number, value: unknown, error?: string }) => {
      const answer = this.#answers.get(call)
      this.#answers.delete(call)
      if (error === undefined) answer?.resolve(value)
      else answer?.reject(new Error(error))
    })
    child.on('exit', (code, signal) => {
      for (const { reject } of this.#answers.values()) reject(new Error(`The server ended: ${signal ?? code}`))
      this.#answers.clear()
    })
  }

  /** Whether the process is still there. */
  get alive (): boolean { return this.#child.exitCode === null && this.#child.signalCode === null }

  async listening (): Promise<void> {
    this.port = await this.#answer(0)
  }

  visitor (cookie: string | null = null): Visitor {
    return new Visitor(this.port, cookie)
  }

  /** Calls one of the fixture's commands. */
  async call (command: string, ...args: unknown[]): Promise<any> {
    const call = ++this.#calls
    const answer = this.#answer(call)
    this.#child.send({ call, command, args })
    return await answer
  }

  /** SIGSTOP: it is there but does nothing, not even give back its locks. */
  async freeze (): Promise<void> { await freeze(this.#child) }
  thaw (): void { this.#child.kill('SIGCONT') }

  /** SIGKILL: no code of the process runs any more. */
  async kill (): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#exit
  }

  /** SIGTERM, as a process manager sends it. */
  terminate (): void { this.#child.kill('SIGTERM') }

  async exited (): Promise<void> { await this.#exit }

  /** Closes the server as an application does. */
  async close (): Promise<void> {
    await this.call('close')
    this.#child.disconnect()
    await this.#exit
  }

  async #answer (call: number): Promise<any> {
    return await new Promise((resolve, reject) => { this.#answers.set(call, { resolve, reject }) })
  }
}
