// The documentation is run: every block of code in it works, and its tables say what the code says.
import Fastify, { type FastifyInstance } from 'fastify'
import { execFile, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import ts from 'typescript'
import * as errors from '../lib/errors.js'
import { SessionManager } from '../lib/manager.js'
import { resolveOptions, type ResolvedOptions } from '../lib/options/plugin-options.js'
import { Session } from '../lib/session/session.js'
import { type Example, Visitor } from './helpers/documentation.js'
import { skipWithout } from './helpers/local-services.js'
import { anchors, codeBlocks, type CodeBlock, localLinks, namesIn, readDocument, tableUnder } from './helpers/markdown.js'
import { cleanEnv, freePort, listening, runNode, startNode } from './helpers/plain-node.js'

const run = promisify(execFile)
const PROJECT = join(import.meta.dirname, '..')
const DOCUMENTS = ['README.md', ...readdirSync(join(PROJECT, 'docs'), { recursive: true }).map(String).filter(name => name.endsWith('.md')).map(name => `docs/${name}`)]
const BLOCKS = DOCUMENTS.flatMap(codeBlocks)
const MANIFEST = JSON.parse(readFileSync(join(PROJECT, 'package.json'), 'utf8'))

if (!existsSync(join(PROJECT, 'dist/lib/index.js'))) t.bailout('dist is missing: run "npm run build" before the tests of the documentation')

const EXAMPLES: Record<string, Example> = {
  smallest: { as: 'elsewhere' },
  implicit: {
    async check (app, t) {
      const visitor = new Visitor(app)
      await visitor.send('POST', '/cart', { article: 'tea' })
      const answers = await Promise.all(['milk', 'salt', 'soap'].map(article => visitor.send('POST', '/cart', { article })))
      t.same(answers.map(answer => answer.json().articles), [2, 3, 4])
    }
  },
  explicit: {
    given: `
      let asking = 0
      let mostAsking = 0
      const askForPrice = async (article) => {
        mostAsking = Math.max(mostAsking, ++asking)
        await new Promise(resolve => setTimeout(resolve, 200))
        asking--
        return article.length
      }`,
    exports: ['mostAsking'],
    async check (app, t, names) {
      const visitor = new Visitor(app)
      await visitor.send('POST', '/order', { article: 'tea' })
      const answers = await Promise.all(['milk', 'salt', 'soap'].map(article => visitor.send('POST', '/order', { article })))
      t.equal(names.mostAsking, 3, 'the prices are asked for at the same time')
      t.same(answers.map(answer => answer.json().orders).sort(), [2, 3, 4])
    }
  },
  readonly: {
    async check (app, t) {
      t.same((await new Visitor(app).send('GET', '/cart')).json(), [])
    }
  },
  'per-route': {
    async check (app, t) {
      t.equal((await new Visitor(app).send('POST', '/import')).body, 'done')
      t.equal((await new Visitor(app).send('GET', '/health')).body, 'no cookie read, no file opened, no lock taken')
    }
  },
  sections: {
    async check (app, t) {
      const visitor = new Visitor(app)
      t.same((await visitor.send('POST', '/pay', { amount: 30 })).json(), { balance: 70 })
      t.equal((await visitor.send('POST', '/pay', { amount: 100 })).statusCode, 500)
      t.same((await visitor.send('POST', '/pay', { amount: 10 })).json(), { balance: 60 })
    }
  },
  commit: {
    given: "const makeReport = () => 'a long report'",
    async check (app, t) {
      const visitor = new Visitor(app)
      t.equal((await visitor.send('GET', '/report')).body, 'a long report')
      t.ok((await app.sessions.get(visitor.cookies.sessionId!))?.has('lastReport'))
    }
  },
  'two-sessions': {
    async check (app, t) {
      const visitor = new Visitor(app)
      t.same((await visitor.send('GET', '/')).json(), { user: null, articles: 0 })
      t.same(Object.keys(visitor.cookies), ['cart'])
      t.equal(typeof (app as any).carts.stats, 'function')
    }
  },
  outside: {
    given: "app.get('/visit', async ({ session }) => session.set('visits', 1).data())",
    exports: ['onMessage', 'onPaid'],
    async check (app, t, { onMessage, onPaid }) {
      const visitor = new Visitor(app)
      await visitor.send('GET', '/visit')
      await onMessage({ headers: { cookie: visitor.header } }, 'hello')
      await onPaid(visitor.cookies.sessionId, 17)
      t.same((await app.sessions.get(visitor.cookies.sessionId!))?.data(), { visits: 1, lastMessage: 'hello', paid: 17 })
      await t.rejects(onMessage({ headers: {} }, 'hello'), { code: 'FST_SESSION_NOT_FOUND' })
    }
  },
  login: {
    given: 'const checkPassword = async (body) => body',
    async check (app, t) {
      const [phone, laptop, other] = [new Visitor(app), new Visitor(app), new Visitor(app)]
      for (const visitor of [phone, laptop]) await visitor.send('POST', '/login', { name: 'Ada' })
      await other.send('POST', '/login', { name: 'Bob' })
      const before = phone.cookies.sessionId
      await phone.send('POST', '/login', { name: 'Ada' })
      t.not(phone.cookies.sessionId, before, 'a new id at every login')
      t.same((await laptop.send('POST', '/logout-everywhere')).json(), { deleted: 2 })
      t.equal(laptop.cookies.sessionId, '', 'the cookie is cleared')
      t.same((await phone.send('POST', '/logout-everywhere')).json(), { deleted: 0 })
      t.equal(await app.sessions.count(), 1)
      t.same((await other.send('POST', '/logout')).json(), { ok: true })
      t.equal(await app.sessions.count(), 0)
    }
  },
  admin: {
    given: "app.get('/visit', async ({ session }) => { session.setUser('Ada'); return 'seen' })",
    async check (app, t) {
      await new Visitor(app).send('GET', '/visit')
      const [entry, ...more] = (await new Visitor(app).send('GET', '/admin/sessions')).json()
      t.match(entry, { key: /^[0-9a-f]{64}$/, user: 'Ada', lastVisit: /^\d{4}-/ })
      t.same(more, [])
    }
  },
  scope: {},
  'error-handler': {
    given: `
      await app.register(sessionPlugin, { lockTimeout: 20 })
      app.get('/slow', async ({ session }) => { await new Promise(resolve => setTimeout(resolve, 150)); return session.set('a', 1).data() })`,
    async check (app, t) {
      const visitor = new Visitor(app)
      await visitor.send('GET', '/slow')
      const [, late] = await Promise.all([visitor.send('GET', '/slow'), visitor.send('GET', '/slow')])
      t.match(late, { statusCode: 503, body: 'Busy. Please try again.', headers: { 'retry-after': '1' } })
    }
  },
  'file-store': {
    async check (app, t) {
      t.equal(app.sessions.scope, 'host')
    }
  },
  'host-cookie': {},
  stats: {
    async check (app, t) {
      const printed = JSON.parse(BLOCKS.find(block => block.language === 'json')!.code)
      const zeros = (value: object) => JSON.stringify(value).replace(/\d+(\.\d+)?/g, '0')
      t.equal(zeros(printed), zeros((await new Visitor(app).send('GET', '/metrics')).json()))
    }
  },
  testing: {},
  serializer: {
    given: "app.get('/date', async ({ session }) => session.setDefault('date', new Date(0)) instanceof Date)",
    async check (app, t) {
      const visitor = new Visitor(app)
      await visitor.send('GET', '/date')
      t.equal((await visitor.send('GET', '/date')).body, 'true')
    }
  },
  commonjs: { as: 'commonjs', given: 'app.ready().then(() => app.close())' },
  'tiny-store': { as: 'elsewhere', saveAs: 'tiny-store.js' },
  'tiny-store-test': { as: 'program' },
  'tiny-store-use': {}
}

// What needs a server, or much beside itself, has a file of its own.
const folder = join(import.meta.dirname, 'documented')
for (const file of existsSync(folder) ? readdirSync(folder) : []) {
  Object.assign(EXAMPLES, (await import(pathToFileURL(join(folder, file)).href)).default)
}

t.test('every example works', async (t) => {
  const names = new Set<string>()
  const root = t.testdir({})
  for (const document of DOCUMENTS) {
    const folder = join(root, basename(document, '.md'))
    mkdirSync(folder, { recursive: true })
    for (const block of BLOCKS.filter(({ file, language }) => file === document && language === 'js')) {
      const example = EXAMPLES[block.example ?? '']
      if (example === undefined) {
        t.fail(`${at(block)} has no "<!-- example: … -->" before it that test/docs.test.ts knows`)
        continue
      }
      names.add(block.example!)
      if (example.saveAs !== undefined) writeFileSync(join(folder, example.saveAs), block.code)
      if (example.as !== 'elsewhere') await t.test(`${at(block)}: ${block.example}`, { skip: skipWithout(...example.programs ?? []) }, async (t) => { await runExample(t, block, example, folder) })
    }
  }
  t.same(Object.keys(EXAMPLES).filter(name => !names.has(name)), [], 'no example is left over')
})

async function runExample (t: Test, block: CodeBlock, example: Example, folder: string): Promise<void> {
  const extension = example.as === 'commonjs' ? 'cjs' : 'js'
  const file = join(folder, `${block.example}.${extension}`)
  // For readers it is one fixed port and one folder, here any.
  let code = block.code.replaceAll("'./sessions'", JSON.stringify(join(folder, 'sessions')))
  for (const [written, here] of Object.entries(await example.prepare?.(t) ?? {})) code = code.replaceAll(written, here)
  if (example.as !== undefined) {
    writeFileSync(file, `${code}\n${example.given ?? ''}\n`)
    await t.resolves(runNode([file], { cwd: folder }), 'it ends without an error')
    return
  }
  writeFileSync(file, complete(code, example))
  const names = await import(pathToFileURL(file).href)
  const app = names.app as FastifyInstance
  t.teardown(() => app.close())
  await app.ready()
  t.pass('it loads')
  await example.check?.(app, t, names)
}

/** Puts before a fragment what every reader has at this point: an application with the plugin. */
function complete (code: string, { given = '', then = '', exports = [] }: Example): string {
  const whole = given + code
  const lines = []
  if (!whole.includes("from 'fastify'")) lines.push("import Fastify from 'fastify'")
  if (!whole.includes("from 'fastify-locked-session'")) lines.push("import sessionPlugin from 'fastify-locked-session'")
  if (!whole.includes('app = Fastify(')) lines.push('const app = Fastify()')
  if (!/register\((sessionPlugin|fastifySession)\b/.test(whole)) lines.push('await app.register(sessionPlugin)')
  return [...lines, given, code, then, `export { ${['app', ...exports].join(', ')} }`, ''].join('\n')
}

const curl = spawnSync('curl', ['--version']).status === 0
t.test('the smallest application counts as the curl loop says', { skip: curl ? false : 'curl is not installed' }, async (t) => {
  const program = exampleBlock('smallest')
  const loop = exampleBlock('smallest-loop')
  const promised = [...readDocument('README.md').matchAll(/^It prints `(.+?)` and `(.+?)`/gm)][0]!.slice(1, 3)
  const port = await freePort()
  const folder = t.testdir({})
  writeFileSync(join(folder, 'app.mjs'), program.code.replaceAll('3000', String(port)))
  const server = startNode(['app.mjs'], { cwd: folder })
  server.stderr!.pipe(process.stderr)
  t.teardown(() => server.kill())
  await listening(port)
  const { stdout } = await run('sh', ['-c', loop.code.replaceAll('3000', String(port))], { cwd: folder, env: cleanEnv() })
  t.same(stdout.trim().split('\n'), promised)
})

t.test('every TypeScript block compiles in strict mode against the built types', async (t) => {
  const blocks = BLOCKS.filter(({ language }) => language === 'ts')
  t.not(blocks.length, 0)
  const root = t.testdir({})
  const files = new Map<string, ts.SourceFile | undefined>()
  for (const block of blocks) {
    const file = join(root, `${basename(block.file, '.md')}-${block.line}.ts`)
    writeFileSync(file, block.code)
    t.same(compile(file, files), [], `${at(block)}: ${block.example}`)
  }
})

/** A program of its own for each block, because an augmentation holds for the whole program. The libraries are read once. */
function compile (file: string, known: Map<string, ts.SourceFile | undefined>): string[] {
  const options: ts.CompilerOptions = {
    strict: true,
    noEmit: true,
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    types: ['node'],
    skipLibCheck: true
  }
  const host = ts.createCompilerHost(options)
  const read = host.getSourceFile
  host.getSourceFile = (name, ...more) => {
    if (!known.has(name)) known.set(name, read(name, ...more))
    return known.get(name)
  }
  const program = ts.createProgram([file], options, host)
  const fromSources = program.getSourceFiles().filter(({ fileName }) => fileName.startsWith(join(PROJECT, 'lib')))
  if (fromSources.length > 0) return ['the types came from lib, not from dist']
  return ts.getPreEmitDiagnostics(program).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))
}

t.test('every JSON block is JSON', async (t) => {
  for (const { code } of BLOCKS.filter(({ language }) => language === 'json')) t.doesNotThrow(() => JSON.parse(code))
})

t.test('every script that the documentation names exists', async (t) => {
  const named = new Set<string>()
  for (const document of [...DOCUMENTS, 'CONTRIBUTING.md']) {
    for (const [, script, shortcut] of readDocument(document).matchAll(/\bnpm (?:run ([\w:-]+)|(test|start)\b)/g)) named.add((script ?? shortcut)!)
  }
  t.ok(named.has('test'))
  t.same([...named].filter(name => MANIFEST.scripts[name] === undefined), [])
})

t.test('every link leads somewhere', async (t) => {
  for (const document of [...DOCUMENTS, 'CHANGELOG.md', 'CONTRIBUTING.md']) {
    for (const link of localLinks(document)) {
      const [path, anchor] = link.split('#') as [string, string?]
      const target = path === '' ? document : join(document, '..', path)
      t.ok(existsSync(join(PROJECT, target)), `${document}: ${link}`)
      if (anchor !== undefined) t.ok(anchors(target).includes(anchor), `${document}: ${link}`)
    }
  }
})

t.test('every source file that the documentation names exists', async (t) => {
  for (const document of DOCUMENTS) {
    const named = [...readDocument(document).matchAll(/`((?:lib|types|test|examples|bench)\/[\w./-]+)`/g)].map(match => match[1]!)
    t.same(named.filter(name => !existsSync(join(PROJECT, name))), [], document)
  }
})

t.test('the README lists every error with its status, and no other', async (t) => {
  const table = tableUnder('README.md', 'Errors')
  const documented = table.rows.map(([code, status]) => `${code!.replaceAll('`', '')} ${status}`)
  const classes = Object.values(errors).filter(value => typeof value === 'function' && value.prototype instanceof Error)
  const existing = classes.map((ErrorClass) => {
    const { code, statusCode } = new (ErrorClass as any)({ waited: 0, place: 1, holder: null }, '')
    return `${code} ${statusCode}`
  })
  t.same(documented.sort(), [...new Set(existing)].sort())
})

t.test('the README lists every option, and no other', async (t) => {
  const sources = { plugin: 'types/options.ts' }
  const same = (heading: string, source: string, name: string) => {
    t.same(namesIn(tableUnder('README.md', heading)).sort(), membersOf(source, name).sort(), name)
  }
  same('Options', sources.plugin, 'SessionPluginOptions')
  same('Cookie options', sources.plugin, 'SessionCookieOptions')
  same('Route options', sources.plugin, 'SessionRouteOptions')
  t.same(membersOf('lib/stores/memory.ts', 'MemoryStoreOptions'), ['max'])
})

t.test('the page of each store lists its options, and no other', async (t) => {
  for (const file of readdirSync(join(PROJECT, 'docs/stores'))) {
    const name = basename(file, '.md')
    const source = `lib/stores/${name}/${name}-store.ts`
    const [options] = /\w+StoreOptions(?= \{| extends )/.exec(readDocument(source)) ?? []
    t.same(namesIn(tableUnder(`docs/stores/${file}`, 'Options')).sort(), membersOf(source, options!).sort(), file)
  }
})

t.test('the README gives the defaults that the options have', async (t) => {
  const defaults = resolveOptions({})
  let compared = 0
  const compare = (heading: string, actual: Record<string, unknown>) => {
    for (const [name, shown] of tableUnder('README.md', heading).rows.map(row => row.map(cell => cell.replaceAll('`', '')))) {
      const expected = defaultOf(shown!)
      if (expected === undefined) continue
      compared++
      t.equal(actual[name!], expected, name!)
    }
  }
  compare('Options', defaults as unknown as Record<keyof ResolvedOptions, unknown>)
  compare('Cookie options', { partitioned: false, ...defaults.cookie })
  t.equal(compared, 18)
})

t.test('the README lists every member of the session and of the manager, and no other', async (t) => {
  const publicNames = (prototype: object) => Object.getOwnPropertyNames(prototype).filter(name => name !== 'constructor').sort()
  t.same(namesIn(tableUnder('README.md', 'The session')).sort(), publicNames(Session.prototype))
  t.same(namesIn(tableUnder('README.md', 'Sessions outside of a request')).sort(), publicNames(SessionManager.prototype))
})

t.test('the contract of a store is described as it is', async (t) => {
  t.same(namesIn(tableUnder('docs/custom-store.md', 'The contract')).sort(), membersOf('types/store.ts', 'Store').sort())
  t.same(namesIn(tableUnder('docs/custom-store.md', 'The lease')).sort(), membersOf('types/store.ts', 'Lease').sort())
  t.same(namesIn(tableUnder('docs/custom-store.md', 'Options of the tests')).sort(), membersOf('lib/conformance/options.ts', 'ConformanceOptions').sort())
})

t.test('the lines of the log that the README names are really written', async (t) => {
  const sources = readdirSync(join(PROJECT, 'lib'), { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.ts'))
    .map(name => readFileSync(join(PROJECT, 'lib', name), 'utf8'))
    .join('\n')
  for (const [level, line] of tableUnder('README.md', 'Find out what happens').rows) {
    const before = sources.split(`'${line!.replaceAll('`', '')}`)[0]!
    t.not(before, sources, line!)
    t.equal(/log\.(\w+)\((?!.*log\.)/s.exec(before.slice(-300))?.[1], level, line!)
  }
})

t.test('of 50 increments at once this plugin keeps 50, and @fastify/session 1', async (t) => {
  const { default: sessionPlugin } = await import('fastify-locked-session')
  const ours = Fastify()
  await ours.register(sessionPlugin)
  ours.get('/', async ({ session }) => {
    const n = session.get('n', 0)
    await sleep(1) // They take turns, so this is 50 ms altogether.
    session.set('n', n + 1)
    return { n: n + 1 }
  })

  const theirs = Fastify()
  await theirs.register((await import('@fastify/cookie')).default)
  // A computed name keeps its types out: they claim request.session, too.
  await theirs.register((await import(['@fastify', 'session'].join('/'))).default, { secret: 'a secret of 32 characters or more', cookie: { secure: false } })
  theirs.get('/', async (request) => {
    const session = request.session as unknown as { n?: number }
    const n = session.n ?? 0
    await sleep(300) // All have read before the first one writes.
    session.n = n + 1
    return { n: n + 1 }
  })

  for (const [app, kept] of [[ours, 50], [theirs, 1]] as const) {
    t.teardown(() => app.close())
    const visitor = new Visitor(app)
    await visitor.send('GET', '/')
    await Promise.all(Array.from({ length: 50 }, () => visitor.send('GET', '/')))
    t.equal((await visitor.send('GET', '/')).json().n, 1 + kept + 1)
  }
})

// ---- helpers ----

function at ({ file, line }: CodeBlock): string {
  return `${file}:${line}`
}

function exampleBlock (name: string): CodeBlock {
  const block = BLOCKS.find(({ example }) => example === name)
  if (block === undefined) throw new Error(`No document has the example "${name}"`)
  return block
}

/** The names that an interface declares, or takes from another one in the same file. */
function membersOf (source: string, name: string): string[] {
  const file = ts.createSourceFile(source, readFileSync(join(PROJECT, source), 'utf8'), ts.ScriptTarget.ES2022)
  const found = file.statements.find((statement): statement is ts.InterfaceDeclaration => ts.isInterfaceDeclaration(statement) && statement.name.text === name)
  if (found === undefined) throw new Error(`${source} declares no interface ${name}`)
  const parents = (found.heritageClauses ?? []).flatMap(({ types }) => types.map(({ expression }) => (expression as ts.Identifier).text))
  return [...parents.flatMap(parent => membersOf(source, parent)), ...found.members.map(member => (member.name as ts.Identifier).text)]
}

/** '60 minutes' as a number, 'true' as a boolean; undefined for what is not so plain. */
function defaultOf (shown: string): unknown {
  const units: Record<string, number> = { '': 1, minutes: 60_000, days: 24 * 60 * 60_000, MiB: 1024 * 1024 }
  const amount = /^([\d ]+?) ?(minutes|days|MiB|)$/.exec(shown)
  if (amount !== null) return Number(amount[1]!.replaceAll(' ', '')) * units[amount[2]!]!
  const text = /^'([^']*)'$/.exec(shown)
  if (text !== null) return text[1]
  return { true: true, false: false }[shown]
}
