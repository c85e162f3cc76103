// The package as users get it: packed, and installed in a folder outside of the project, so that nothing is found there by accident.
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { cleanEnv } from './plain-node.js'

const run = promisify(execFile)
const PROJECT = join(import.meta.dirname, '../..')
const MANIFEST = JSON.parse(readFileSync(join(PROJECT, 'package.json'), 'utf8'))
const FLAGS = ['--no-audit', '--no-fund', '--prefer-offline', '--fetch-retries=0', '--fetch-timeout=10000']

export interface Packed {
  /** An empty folder that is removed after the test. */
  folder: string
  tarball: string
  /** The paths in the tarball. */
  files: string[]
  /** Its size when unpacked, in bytes. */
  unpackedSize: number
}

/** `npm pack`, of what `npm run build` has built. */
export async function pack (t: Test): Promise<Packed> {
  const folder = mkdtempSync(join(tmpdir(), 'fastify-locked-session-'))
  t.teardown(() => { rmSync(folder, { recursive: true, force: true }) })
  const { stdout } = await run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder], { cwd: PROJECT, env: cleanEnv() })
  const [{ filename, files, unpackedSize }] = JSON.parse(stdout)
  return { folder, tarball: join(folder, filename), files: files.map(({ path }: { path: string }) => path), unpackedSize }
}

/** `npm install` in the folder, which is made. `what` are packages and flags. */
export async function npmInstall (folder: string, ...what: string[]): Promise<void> {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'package.json'), '{ "private": true }')
  await run('npm', ['install', ...FLAGS, ...what], { cwd: folder, env: cleanEnv(), timeout: 120_000 })
}

/** Without the network: the package is unpacked, and what it declares is linked to what the project has. */
export async function installByHand (folder: string, tarball: string): Promise<void> {
  rmSync(join(folder, 'node_modules'), { recursive: true, force: true })
  mkdirSync(join(folder, 'node_modules/fastify-locked-session'), { recursive: true })
  await run('tar', ['xzf', tarball, '--strip-components=1', '-C', join(folder, 'node_modules/fastify-locked-session')])
  const declared = { ...MANIFEST.dependencies, ...MANIFEST.optionalDependencies, ...MANIFEST.peerDependencies }
  for (const name of Object.keys(declared)) {
    const link = join(folder, 'node_modules', name)
    mkdirSync(dirname(link), { recursive: true })
    symlinkSync(join(PROJECT, 'node_modules', name), link)
  }
}
