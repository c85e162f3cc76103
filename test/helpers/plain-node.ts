// Node.js as users start it. The test runner puts a loader of its own into every child process, by NODE_OPTIONS;
// here it is taken out again.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { connect, createServer, type AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)
const PLAIN = ['-u', 'NODE_OPTIONS', process.execPath]

export interface PlainOptions {
  cwd: string
  env?: Record<string, string>
}

/** Runs a program to its end; rejects when it fails. */
export async function runNode (args: string[], { cwd, env }: PlainOptions): Promise<{ stdout: string, stderr: string }> {
  return await run('env', [...PLAIN, ...args], { cwd, env: { ...cleanEnv(), ...env }, timeout: 100_000 })
}

/** Starts a program that runs on. */
export function startNode (args: string[], { cwd, env }: PlainOptions): ChildProcess {
  return spawn('env', [...PLAIN, ...args], { cwd, env: { ...cleanEnv(), ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
}

/** Nothing of the test's own surroundings but where programs are, and where npm keeps its files. */
export function cleanEnv (): NodeJS.ProcessEnv {
  return { PATH: process.env.PATH, HOME: process.env.HOME }
}

export async function freePort (): Promise<number> {
  const server = createServer().listen(0)
  await new Promise(resolve => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise(resolve => server.close(resolve))
  return port
}

/** Resolves once somebody listens on the port. */
export async function listening (port: number): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const socket = connect({ port, host: 'localhost' })
    const isOpen = await new Promise(resolve => socket.once('connect', () => resolve(true)).once('error', () => resolve(false)))
    socket.destroy()
    if (isOpen) return
    await sleep(50)
  }
  throw new Error(`Nobody listens on port ${port}`)
}
