import { execFileSync, spawn } from 'node:child_process'
import { chmodSync, chownSync, existsSync, readdirSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { withFolder } from './folder.js'

/** Debian keeps the programs of PostgreSQL out of PATH. */
function program (name) {
  const debian = '/usr/lib/postgresql'
  const versions = existsSync(debian) ? readdirSync(debian).map((version) => join(debian, version, 'bin')) : []
  const found = [...process.env.PATH.split(delimiter), ...versions].map((folder) => join(folder, name)).find(existsSync)
  if (found === undefined) throw new Error(`${name} is not installed`)
  return found
}

async function freePort () {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => { server.once('listening', resolve) })
  const { port } = server.address()
  await new Promise((resolve) => { server.close(resolve) })
  return port
}

function answers (port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => { socket.destroy(); resolve(true) })
    socket.once('error', () => { resolve(false) })
  })
}

async function withServer (command, args, options, fn) {
  const port = await freePort()
  const child = spawn(program(command), args(port), { stdio: 'ignore', ...options })
  try {
    for (const end = Date.now() + 20_000; !await answers(port); await sleep(50)) {
      if (child.exitCode !== null || Date.now() > end) throw new Error(`${command} did not start`)
    }
    return await fn(port)
  } finally {
    child.kill('SIGKILL')
  }
}

/** A Redis of its own, which keeps nothing on disk. */
export async function withRedis (fn) {
  return await withServer('redis-server', (port) => ['--port', port, '--bind', '127.0.0.1', '--save', ''], {}, fn)
}

/** A PostgreSQL of its own with its default settings, so that a commit waits for the disk. */
export async function withPostgres (fn) {
  return await withFolder(async (folder) => {
    const user = {}
    if (process.getuid() === 0) { // It does not run as root.
      const idOf = (flag) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }))
      Object.assign(user, { uid: idOf('-u'), gid: idOf('-g') })
      chownSync(folder, user.uid, user.gid)
      chmodSync(folder, 0o755)
    }
    const data = join(folder, 'data')
    await mkdir(data)
    if (user.uid !== undefined) chownSync(data, user.uid, user.gid)
    chmodSync(data, 0o700)
    execFileSync(program('initdb'), ['-D', data, '-U', 'postgres', '-A', 'trust'], { stdio: 'ignore', cwd: folder, ...user })
    return await withServer('postgres', (port) => ['-D', data, '-p', port, '-h', '127.0.0.1', '-k', folder], { cwd: folder, ...user }, fn)
  })
}
