// The package as users get it: packed, installed, imported. And the order among its files.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { dirname, join } from 'node:path'
import t from 'tap'
import { findCycle, type Import, importsIn } from './helpers/imports.js'
import { installByHand, npmInstall, pack } from './helpers/packed-package.js'
import { runNode } from './helpers/plain-node.js'

const PROJECT = join(import.meta.dirname, '..')
const MANIFEST = JSON.parse(readFileSync(join(PROJECT, 'package.json'), 'utf8'))

const LIB = importsIn('lib')
const TYPES = importsIn('types')

t.test('the order among the files', async (t) => {
  const offenders = (imports: Import[], isWrong: (found: Import) => boolean) =>
    imports.filter(isWrong).map(({ from, to }) => `${from} imports ${to}`)
  const isIn = (folder: string) => ({ from }: Import) => from.startsWith(folder)

  await t.test('nobody imports the public face of the package', async (t) => {
    t.same(offenders([...LIB, ...TYPES], ({ to }) => to === 'lib/index.ts'), [])
  })

  await t.test('nobody but the conformance kit itself imports the conformance kit', async (t) => {
    t.same(offenders([...LIB, ...TYPES], ({ from, to }) => to.startsWith('lib/conformance/') && !from.startsWith('lib/conformance/')), [])
  })

  await t.test('a store imports contracts, errors and small tools, nothing of the plugin', async (t) => {
    const allowed = ['lib/errors.ts', 'lib/options/check.ts', 'lib/awaitable.ts', 'lib/hrtime.ts', 'lib/time-limit.ts', 'lib/stores/token-tickets.ts', 'lib/stores/batcher.ts']
    t.same(offenders(LIB.filter(isIn('lib/stores/')), ({ from, to }) => {
      const own = dirname(from) !== 'lib/stores' && dirname(from) === dirname(to)
      // The locks of an ExpressStore are another store's; without one they are in memory.
      const lendsLocks = from.startsWith('lib/stores/express/') && to === 'lib/stores/memory.ts'
      return !own && !lendsLocks && isSource(to) && !allowed.includes(to) && !to.startsWith('types/')
    }), [])
  })

  await t.test('types have nothing that runs', async (t) => {
    t.same(offenders(TYPES, ({ runs }) => runs), [])
  })

  await t.test('locks know neither sessions nor requests', async (t) => {
    t.same(offenders(LIB.filter(isIn('lib/lock/')), ({ to }) => /^lib\/(session|request|cookie|stores)\//.test(to)), [])
  })

  await t.test('sessions know neither requests nor cookies', async (t) => {
    t.same(offenders(LIB.filter(isIn('lib/session/')), ({ to, runs }) => runs && /^lib\/(request|cookie|stores)\//.test(to)), [])
  })

  await t.test('no file imports itself in a circle', async (t) => {
    t.equal(findCycle(LIB), null)
  })

  await t.test('packages are declared, and drivers are imported by their store alone', async (t) => {
    t.same(offenders(LIB, ({ from, to, runs }) => {
      if (!runs || isSource(to) || to.startsWith('node:')) return false
      if (builtinModules.includes(to)) return true // It is written node:… here.
      const name = packageOf(to)
      if (name in MANIFEST.dependencies || name in MANIFEST.peerDependencies) return false
      return !(name in MANIFEST.optionalDependencies && from.startsWith('lib/stores/'))
    }), [])
  })
})

t.test('everything in exports is built', async (t) => {
  for (const [name, target] of Object.entries<string | Record<string, string>>(MANIFEST.exports)) {
    for (const file of typeof target === 'string' ? [target] : Object.values(target)) t.ok(existsSync(join(PROJECT, file)), `${name}: ${file}`)
  }
  t.equal(MANIFEST.main, MANIFEST.exports['.'].default)
  t.equal(MANIFEST.types, MANIFEST.exports['.'].types)
})

t.test('the packed package', async (t) => {
  const { folder, tarball, files, unpackedSize } = await pack(t)
  let noRegistry: string | false = false
  try {
    await npmInstall(folder, '--ignore-scripts', tarball, 'fastify@5')
  } catch (error) {
    noRegistry = 'npm cannot install'
    console.log(`npm install failed, so the package is unpacked by hand: ${String(error).split('\n')[0]}`)
    await installByHand(folder, tarball)
  }
  const installed = join(folder, 'node_modules/fastify-locked-session')

  const execute = async (name: string, code: string): Promise<string> => {
    writeFileSync(join(folder, name), code)
    return (await runNode([name], { cwd: folder })).stdout
  }

  await t.test('holds the code, its types and sources, the documents, and no tests', async (t) => {
    for (const path of ['README.md', 'CHANGELOG.md', 'LICENSE', 'package.json', 'dist/lib/index.js', 'dist/lib/index.d.ts', 'lib/index.ts', 'types/store.ts']) {
      t.ok(files.includes(path), path)
    }
    t.same(files.filter(path => /(^|\/)(test|bench|examples|node_modules|sessions)\/|\.tst\.|\.test\./.test(path)), [])
  })

  await t.test('source maps point at files that are in it', async (t) => {
    const missing = []
    for (const name of readdirSync(join(installed, 'dist'), { recursive: true, encoding: 'utf8' })) {
      if (!name.endsWith('.map')) continue
      const file = join(installed, 'dist', name)
      for (const source of JSON.parse(readFileSync(file, 'utf8')).sources) if (!existsSync(join(dirname(file), source))) missing.push(`${name}: ${source}`)
    }
    t.same(missing, [])
  })

  const USE = `
    const app = Fastify()
    app.register(sessionPlugin, { store: new MemoryStore() })
    app.get('/', async ({ session }) => session.set('visits', session.get('visits', 0) + 1).data())
    app.inject('/').then(async ({ cookies: [{ value }] }) => {
      const second = await app.inject({ url: '/', cookies: { sessionId: value } })
      console.log(second.body, typeof FileStore, typeof LockTimeoutError)
      await app.close()
    })`

  await t.test('holds nothing else, and stays below 3 MiB', async (t) => {
    t.ok(unpackedSize < 3 * 2 ** 20, `${unpackedSize} bytes`)
    t.same(files.filter(path => !/^(dist|lib|types|docs)\/.*\.(js|ts|map|md)$/.test(path)).sort(), ['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json'])
  })

  await t.test('works without fs-ext but for the file store, which says what is missing', { skip: noRegistry }, async (t) => {
    const omitted = join(folder, 'omitted')
    await npmInstall(omitted, '--omit=optional', tarball, 'fastify@5')
    t.notOk(existsSync(join(omitted, 'node_modules/fs-ext')))
    t.ok(existsSync(join(folder, 'node_modules/fs-ext')), 'here it is, but npm was told not to compile it')
    for (const place of [omitted, folder]) {
      writeFileSync(join(place, 'file-store.mjs'), `
        import Fastify from 'fastify'
        import sessionPlugin from 'fastify-locked-session'
        import { FileStore } from 'fastify-locked-session/file'
        const codes = []
        for (const options of [{}, { store: new FileStore({ directory: './sessions' }) }]) {
          const app = Fastify()
          app.register(sessionPlugin, options)
          codes.push(await app.ready().then(() => 'ready', ({ code }) => code))
          await app.close().catch(() => {})
        }
        console.log(codes.join(' '))`)
      t.equal((await runNode(['file-store.mjs'], { cwd: place })).stdout.trim(), 'ready FST_SESSION_FLOCK_UNAVAILABLE')
    }
  })

  await t.test('works when it is imported', async (t) => {
    t.equal((await execute('use.mjs', `
      import Fastify from 'fastify'
      import sessionPlugin, { LockTimeoutError, MemoryStore } from 'fastify-locked-session'
      import { FileStore } from 'fastify-locked-session/file'
      ${USE}`)).trim(), '{"visits":2} function function')
  })

  await t.test('works when it is required', async (t) => {
    t.equal((await execute('use.cjs', `
      const Fastify = require('fastify')
      const sessionPlugin = require('fastify-locked-session')
      const { LockTimeoutError, MemoryStore } = require('fastify-locked-session')
      const { FileStore } = require('fastify-locked-session/file')
      ${USE}`)).trim(), '{"visits":2} function function')
  })

  await t.test('the plugin has its name, also as a named export', async (t) => {
    t.equal((await execute('name.mjs', `
      import plugin, { sessionPlugin } from 'fastify-locked-session'
      const meta = plugin[Symbol.for('plugin-meta')]
      console.log(plugin === sessionPlugin, meta.name, meta.fastify)`)).trim(), 'true fastify-locked-session 5.x')
  })

  await t.test('importing it loads no driver, and nothing that it does not declare', async (t) => {
    const loaded = await packagesLoadedBy('fastify-locked-session')
    t.ok(loaded.includes('fastify-locked-session'))
    t.ok(loaded.includes('fastify-plugin'), 'the test sees modules of both kinds')
    t.notOk(loaded.includes('fs-ext'))
    const expected = new Set(['fastify-locked-session', ...dependenciesOf(installed)])
    t.same(loaded.filter(name => !expected.has(name)), [])
  })

  await t.test('the driver of the file store is loaded when the store is opened', async (t) => {
    t.notOk((await packagesLoadedBy('fastify-locked-session/file')).includes('fs-ext'))
  })

  /** Imports the entry point in a process of its own, which writes down every module that is loaded. */
  async function packagesLoadedBy (entry: string): Promise<string[]> {
    writeFileSync(join(folder, 'trace.mjs'), `
      import { writeSync } from 'node:fs'
      export async function load (url, context, next) {
        writeSync(1, url + '\\n')
        return next(url, context)
      }`)
    const output = await execute('trace-it.mjs', `
      import { createRequire, register } from 'node:module'
      register('./trace.mjs', import.meta.url)
      await import('${entry}')
      console.log(Object.keys(createRequire(import.meta.url).cache).join('\\n'))`)
    return [...new Set(output.split('\n').flatMap(line => /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(line)?.[1] ?? []))]
  }
})

/** The packages that an installed package needs, and those that they need. */
function dependenciesOf (folder: string, seen: string[] = []): string[] {
  const { dependencies = {} } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  for (const name of Object.keys(dependencies)) {
    if (seen.includes(name)) continue
    seen.push(name)
    let from = folder
    while (!existsSync(join(from, 'node_modules', name)) && from !== dirname(from)) from = dirname(from)
    dependenciesOf(join(from, 'node_modules', name), seen)
  }
  return seen
}

function isSource (to: string): boolean {
  return /^(lib|types)\//.test(to)
}

function packageOf (specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
}
