// Real servers for tests, each on a free port with a folder of its own: started, stopped, killed and started again.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, chmodSync, chownSync, constants, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { freeze } from './freeze.js'
import { freePort } from './plain-node.js'

/** Debian keeps the programs of PostgreSQL out of PATH. */
function searchPath (): string[] {
  const folder = '/usr/lib/postgresql'
  const versions = existsSync(folder) ? readdirSync(folder).sort((a, b) => Number(b) - Number(a)) : []
  return [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', ...versions.map(version => join(folder, version, 'bin'))]
}

export function findProgram (name: string): string | null {
  for (const folder of searchPath()) {
    try {
      accessSync(join(folder, name), constants.X_OK)
      return join(folder, name)
    } catch {}
  }
  return null
}

/**
 * For the option `skip` of a test: false when all programs are there. Without them the test is skipped, visibly;
 * in the CI they have to be there, so it runs and fails.
 */
export function skipWithout (...programs: string[]): string | false {
  const missing = programs.filter(name => findProgram(name) === null)
  return missing.length === 0 || process.env.CI === 'true' ? false : `not installed: ${missing.join(', ')}`
}

/** PostgreSQL, PgBouncer and memcached do not run as root. */
export function unprivileged (program: string): { uid?: number, gid?: number } {
  if (process.getuid?.() !== 0) return {}
  const name = ['initdb', 'postgres', 'pg_basebackup'].includes(program) ? 'postgres' : 'nobody'
  const idOf = (flag: string) => Number(execFileSync('id', [flag, name], { encoding: 'utf8' }))
  return { uid: idOf('-u'), gid: idOf('-g') }
}

interface ServiceOptions {
  program: string
  args: (port: number, folder: string) => string[]
  prepare?: (folder: string, port: number) => void
  /** For a program that takes connections before it can serve them. */
  isReady?: (folder: string) => boolean
}

/** A server program. Everything it keeps is in `folder`, which outlives a restart. */
export class Service {
  readonly host = '127.0.0.1'
  #child: ChildProcess | null = null

  private constructor (readonly port: number, readonly folder: string, private readonly options: ServiceOptions) {}

  /** Starts it, and ends it with the test. */
  static async start (t: Test, options: ServiceOptions): Promise<Service> {
    const folder = mkdtempSync(join(tmpdir(), `${options.program}-`))
    chmodSync(folder, 0o755)
    const { uid, gid } = unprivileged(options.program)
    if (uid !== undefined && gid !== undefined) chownSync(folder, uid, gid)
    const service = new Service(await freePort(), folder, options)
    t.teardown(async () => {
      await service.kill()
      rmSync(folder, { recursive: true, force: true })
    })
    options.prepare?.(folder, service.port)
    await service.restart()
    return service
  }

  get pid (): number { return this.#child!.pid! }

  /** Starts it again on the same port, after kill() or stop(). */
  async restart (): Promise<void> {
    const { program, args, isReady = () => true } = this.options
    const path = findProgram(program)
    if (path === null) throw new Error(`${program} is not installed`)
    const output: string[] = []
    const child = spawn(path, args(this.port, this.folder), { cwd: this.folder, stdio: ['ignore', 'pipe', 'pipe'], ...unprivileged(program) })
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => { output.push(String(data)) })
    this.#child = child
    for (const end = performance.now() + 20_000; !(await answers(this.port) && isReady(this.folder)); await sleep(20)) {
      if (child.exitCode !== null || performance.now() > end) throw new Error(`${program} did not start: ${output.join('')}`)
    }
  }

  /** SIGKILL: nothing is written any more. */
  async kill (): Promise<void> { await this.#end('SIGKILL') }
  /** SIGTERM, or another signal by which it ends in order. */
  async stop (signal: NodeJS.Signals = 'SIGTERM'): Promise<void> { await this.#end(signal) }
  /** It is there but answers nothing. */
  async freeze (): Promise<void> { await freeze(this.#child!) }
  thaw (): void { this.#child?.kill('SIGCONT') }

  async #end (signal: NodeJS.Signals): Promise<void> {
    const child = this.#child
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill(signal)
    await ended
  }
}

async function answers (port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => { socket.destroy(); resolve(true) })
    socket.once('error', () => { resolve(false) })
  })
}

/** `program`: 'redis-server' or 'valkey-server'. Keeps everything on disk, as far as the operating system survives. */
export async function startRedis (t: Test, args: string[] = [], program = 'redis-server'): Promise<Service> {
  return await Service.start(t, {
    program,
    args: (port, folder) => ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', 'yes', '--appendfsync', 'always', ...args]
  })
}

export async function startMemcached (t: Test, args: string[] = []): Promise<Service> {
  return await Service.start(t, { program: 'memcached', args: port => ['-l', '127.0.0.1', '-p', String(port), '-U', '0', ...args] })
}

function initdb (folder: string): void {
  const program = findProgram('initdb')
  if (program === null) throw new Error('initdb is not installed')
  execFileSync(program, ['-D', join(folder, 'data'), '-U', 'postgres', '-A', 'trust', '--no-sync', '-E', 'UTF8', '--locale', 'C'], { stdio: 'ignore', ...unprivileged('initdb') })
}

/** The superuser `postgres` connects without a password. `prepare` fills the folder `data`; by default with an empty database. */
export async function startPostgres (t: Test, settings: Record<string, string> = {}, prepare = initdb): Promise<Service> {
  return await Service.start(t, {
    program: 'postgres',
    prepare,
    isReady: folder => readFileSync(join(folder, 'data/postmaster.pid'), 'utf8').trimEnd().endsWith('ready'),
    args: (port, folder) => [
      '-D', join(folder, 'data'), '-p', String(port), '-h', '127.0.0.1', '-k', folder,
      ...Object.entries({ max_connections: '200', ...settings }).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    ]
  })
}

/** In transaction mode, in front of a PostgreSQL server. */
export async function startPgBouncer (t: Test, postgres: Service): Promise<Service> {
  return await Service.start(t, {
    program: 'pgbouncer',
    prepare (folder, port) {
      mkdirSync(join(folder, 'socket'))
      writeFileSync(join(folder, 'users.txt'), '"postgres" ""\n')
      writeFileSync(join(folder, 'pgbouncer.ini'), `[databases]
* = user=postgres host=127.0.0.1 port=${postgres.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
auth_file = ${join(folder, 'users.txt')}
pool_mode = transaction
max_client_conn = 500
default_pool_size = 10
ignore_startup_parameters = extra_float_digits
`)
    },
    args: (_port, folder) => [join(folder, 'pgbouncer.ini')]
  })
}
