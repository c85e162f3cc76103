// The ways in which users compile a program that imports this package.
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runNode } from './plain-node.js'

const SOURCES = join(import.meta.dirname, '../consumers')

/** The minor releases that are tried. Each is installed as a package of its own, under the name `aliasOf`. */
export const VERSIONS = ['5.6', '5.7', '5.8', '5.9', '6.0', '7.0']
/** These try every way. */
export const FULL = ['5.6', '5.9', '7.0']
export const NEWEST = '7.0'

export const aliasOf = (version: string) => `ts-${version}`

/** How the user's package is set up. */
export interface Setup {
  name: string
  type: 'module' | 'commonjs'
  flags: string[]
  /** The first TypeScript that can do this. */
  since: string
}

export const SETUPS: Setup[] = [
  { name: 'nodenext', type: 'module', flags: ['--module', 'nodenext'], since: '5.6' },
  { name: 'node20', type: 'module', flags: ['--module', 'node20'], since: '5.9' },
  { name: 'bundler', type: 'module', flags: ['--module', 'esnext', '--moduleResolution', 'bundler'], since: '5.6' },
  // TypeScript 5.8 was the first to allow require() of an ES module, as Node.js does.
  { name: 'nodenext-commonjs', type: 'commonjs', flags: ['--module', 'nodenext'], since: '5.8' },
  { name: 'node20-commonjs', type: 'commonjs', flags: ['--module', 'node20'], since: '5.9' }
]

const STRICT = [
  '--strict', '--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess', '--skipLibCheck', 'false', '--allowJs', '--checkJs',
  '--esModuleInterop', '--resolveJsonModule', '--target', 'es2022', '--lib', 'es2023', '--types', 'node', '--pretty', 'false'
]

export interface Compiled {
  /** The errors as TypeScript prints them; empty when it has none. */
  errors: string
  /** Their codes, e.g. `TS1479`. */
  codes: string[]
  /** The folder of the JavaScript. */
  output: string
}

/** Compiles some of test/consumers in a folder below `parent`. TypeScript is found in `root`. */
export async function compile (root: string, parent: string, version: string, { name, type, flags }: Omit<Setup, 'since'>, files: string[]): Promise<Compiled> {
  const folder = join(parent, `${version}-${name}`)
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ type }))
  for (const file of files) copyFileSync(join(SOURCES, file), join(folder, file))
  const output = join(folder, 'out')
  const args = [join(root, 'node_modules', aliasOf(version), 'bin/tsc'), ...flags, ...STRICT, '--outDir', output, ...files]
  const errors = await runNode(args, { cwd: folder }).then(() => '', (error: { stdout?: string }) => {
    // A compiler that could not run has found no errors either.
    if (!/error TS\d+/.test(error.stdout ?? '')) throw error
    return error.stdout!
  })
  return { errors, codes: [...errors.matchAll(/^\S.*error (TS\d+)/gm)].map(match => match[1]!), output }
}

/** Two at a time, for the sake of other tests. */
export async function inPairs<T> (items: T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items]
  const worker = async () => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item)
  }
  await Promise.all([worker(), worker()])
}
