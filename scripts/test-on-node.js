// Runs the tests under other versions of Node.js: `npm run test:node -- 22 24`, or some files of them:
// `npm run test:node -- 22 24 test/file-store.test.ts`. The last line is "N passed, N failed", of all versions together.
//
// Node.js comes from the npm registry, where each release is a package with its headers: fs-ext is compiled for it.
// The tests run in a copy of the project with an installation of its own, so nothing here is touched.
import { execFileSync, spawn } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'

const PROJECT = join(import.meta.dirname, '..')
const isVersion = arg => /^\d+(\.\d+)*$/.test(arg)
const versions = process.argv.slice(2).filter(isVersion)
const files = process.argv.slice(2).filter(arg => !isVersion(arg))
if (versions.length === 0) throw new Error('Which versions? For example: npm run test:node -- 22 24')

/** Installs Node.js in the folder. null: the registry does not have it, or is out of reach. */
function installNode (folder, version) {
  mkdirSync(folder)
  writeFileSync(join(folder, 'package.json'), '{ "private": true }')
  const name = `node-${process.platform}-${process.arch}`
  try {
    execFileSync('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', `${name}@${version}`], { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] })
  } catch (error) {
    console.log(String(error.stderr).trim())
    return null
  }
  return join(folder, 'node_modules', name)
}

/** What is in git, or would be after `git add`. */
function copyProject (target) {
  const list = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: PROJECT, encoding: 'utf8' })
  for (const path of list.split('\0').filter(path => path !== '' && existsSync(join(PROJECT, path)))) {
    mkdirSync(dirname(join(target, path)), { recursive: true })
    cpSync(join(PROJECT, path), join(target, path))
  }
}

/** Resolves to all that the program printed, which is passed on as it comes. */
async function run (command, args, options) {
  const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.on('data', (chunk) => {
    output += chunk
    process.stdout.write(chunk)
  })
  const status = await new Promise((resolve, reject) => child.once('error', reject).once('close', resolve))
  return { output, status }
}

async function testOn (version) {
  const folder = mkdtempSync(join(tmpdir(), 'test-on-node-'))
  try {
    const node = installNode(join(folder, 'node'), version)
    if (node === null) {
      console.log(`Node.js ${version}: skipped, because npm cannot install it`)
      return { passed: 0, failed: 0 }
    }
    const project = join(folder, 'project')
    copyProject(project)
    // Headers of this very version: without nodedir they would be downloaded from nodejs.org.
    const env = { ...process.env, PATH: join(node, 'bin') + delimiter + process.env.PATH, npm_config_nodedir: node }
    const options = { cwd: project, env }
    console.log(`Node.js ${execFileSync('node', ['--version'], { env, encoding: 'utf8' }).trim()}`)
    for (const args of [['ci', '--no-audit', '--no-fund'], ['run', 'build']]) {
      const { status } = await run('npm', args, options)
      if (status !== 0) return { passed: 0, failed: 1 }
    }
    const { output, status } = await run('npx', ['tap', ...files], options)
    const [, passed, failed] = [...output.matchAll(/^(\d+) passed, (\d+) failed/gm)].at(-1) ?? [null, 0, 1]
    return { passed: Number(passed), failed: Number(failed) || (status === 0 ? 0 : 1) }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const results = []
for (const version of versions) results.push({ version, ...await testOn(version) })
console.log()
for (const { version, passed, failed } of results) console.log(`Node.js ${version}: ${passed + failed === 0 ? 'not run' : `${passed} of ${passed + failed} passed`}`)
const sum = key => results.reduce((total, result) => total + result[key], 0)
console.log(`${sum('passed')} passed, ${sum('failed')} failed`)
process.exitCode = sum('failed') > 0 ? 1 : 0
