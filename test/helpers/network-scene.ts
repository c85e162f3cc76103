// Four server processes on one real database server, over HTTP, and what the tests of network stores ask of them.
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { CriticalSection } from './critical-section.js'
import { type Answer, hangUp, type Visitor } from './http-client.js'
import type { Service } from './local-services.js'
import { type NetworkSettings, ServerHost, type ServerProcess } from './server-process.js'

export interface NetworkOptions {
  backend: NetworkSettings['backend']
  startService (t: Test): Promise<Service>
  /** Where the server processes connect, if not to the service itself. */
  connectTo? (t: Test, service: Service): Promise<number>
  /** Of the store. */
  options?: object
  session?: NetworkSettings['session']
}

/** Time for a busy machine to do what takes a moment, in ms. */
export const SLACK = 5000
/** Longer than lockTimeout, and than any time limit of a driver. Who has no answer by then hangs. */
export const HANGS = 25_000

type Servers = readonly [ServerProcess, ServerProcess, ServerProcess, ServerProcess]

export class NetworkScene {
  private constructor (
    readonly service: Service,
    readonly servers: Servers,
    readonly critical: CriticalSection,
    /** Starts one more server process. */
    readonly start: () => Promise<ServerProcess>
  ) {}

  static async begin (t: Test, { backend, startService, connectTo, options = {}, session }: NetworkOptions): Promise<NetworkScene> {
    const base = t.testdir({ traces: {} })
    const traces = join(base, 'traces')
    const service = await startService(t)
    const port = await connectTo?.(t, service) ?? service.port
    const settings: NetworkSettings = { backend, port, options, traces, ...(session && { session }) }
    const host = new ServerHost(t, base)
    const start = async () => await host.start(settings, 'network-server')
    // One after the other: the first may have tables to make.
    const servers = [await start(), await start(), await start(), await start()] as const
    t.teardown(hangUp)
    return new NetworkScene(service, servers, new CriticalSection(traces), start)
  }

  /** A visitor of the first server with a session whose counter has this value. */
  async newSession (n = 0): Promise<Visitor> {
    const visitor = this.servers[0].visitor()
    await visitor.post('/begin')
    for (let i = 0; i < n; i++) await visitor.post('/increment')
    return visitor
  }

  /** Runs `fn` so many times at once for every server. */
  async fromAll<T> (times: number, fn: (server: ServerProcess) => Promise<T>): Promise<T[]> {
    return await Promise.all(this.servers.flatMap(server => Array.from({ length: times }, async () => await fn(server))))
  }

  /** A request to `path` holds the lock while others wait in two other processes. */
  async behind (path: string, cookie: string | null): Promise<{ answered: Answer, waiting: Answer[] }> {
    const [first, second, third] = this.servers
    const slow = first.visitor(cookie).post(path)
    await until(first, 'held', 1)
    const waiting = [second, second, third].map(async server => await server.visitor(cookie).post('/increment'))
    await until(second, 'waiting', 2)
    await until(third, 'waiting', 1)
    return { answered: await slow, waiting: await Promise.all(waiting) }
  }

  /** An increment that succeeds once the service is back. */
  async works (server: ServerProcess, cookie: string | null): Promise<Answer> {
    for (const end = performance.now() + HANGS; ; await sleep(100)) {
      const answer = await server.visitor(cookie).post('/increment')
      if (answer.status === 200 || performance.now() > end) return answer
    }
  }
}

/** Waits until so many requests stand in the queues of the server, or hold a lock there. */
export async function until (server: ServerProcess, what: 'waiting' | 'held', count: number): Promise<void> {
  await untilTrue(`${count} ${what}`, async () => (await server.call('stats')).locks[what] >= count)
}

/** Waits until the store of the server has told so many requests to wait: from then on they have a place in its list. */
export async function untilListed (server: ServerProcess, count: number): Promise<void> {
  await untilTrue(`${count} in the list`, async () => (await server.call('stats')).toldToWait >= count)
}

async function untilTrue (what: string, condition: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + SLACK
  while (!await condition()) {
    if (performance.now() > end) throw new Error(`Not ${what} in time`)
    await sleep(5)
  }
}

export function upTo (n: number): number[] {
  return Array.from({ length: n }, (_, i) => i + 1)
}

export function slowest (answers: Answer[]): number {
  return Math.max(...answers.map(({ took }) => took))
}

/** The values that the counter had, in order. */
export function counted (answers: Answer[]): number[] {
  return answers.map(({ body }) => body.n).sort((a, b) => a - b)
}
