// Programs of users, in test/consumers: compiled against the packed package by each TypeScript, in each way, and run.
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { aliasOf, compile, FULL, inPairs, NEWEST, type Setup, SETUPS, VERSIONS } from './helpers/consumer-builds.js'
import { npmInstall, pack } from './helpers/packed-package.js'
import { runNode } from './helpers/plain-node.js'

const isOlder = (a: string, b: string) => Number(a) < Number(b)
const programFor = ({ type }: Setup) => ['app.ts', type === 'module' ? 'plain.js' : 'plain.cjs']

/** What each program prints. */
const OUTPUT: Record<string, string> = {
  'app.js': '{"visits":2} {"cart":["apple"],"scope":"process"}\nLockTimeoutError 3 true',
  'plain.js': '{"visits":2} process',
  'plain.cjs': '{"visits":2} true string',
  'compat.js': '{"id":2} network network network network',
  'dynamic.js': '{"visits":2} function'
}

t.test('programs that use the packed package', async (t) => {
  const { folder, tarball } = await pack(t)
  const root = join(folder, 'user')
  const withClients = join(root, 'with-clients')
  try {
    const compilers = VERSIONS.map(version => `${aliasOf(version)}@npm:typescript@~${version}.0`)
    await npmInstall(root, '--ignore-scripts', tarball, 'fastify@5', '@types/node@20', ...compilers)
    // Here the programs of the root find no types of any client.
    await npmInstall(withClients, '--ignore-scripts', 'ioredis@6', 'redis@6', 'pg@8', '@types/pg@8', 'express-session@1', '@types/express-session@1')
  } catch (error) {
    if (process.env.CI === 'true') throw error
    return t.pass('npm cannot install', { skip: String(error).split('\n')[0]! })
  }

  // The releases between show what is theirs: nodenext, and require() of an ES module.
  const tries = (version: string, { name, since }: Setup) => !isOlder(version, since) && (FULL.includes(version) || name.startsWith('nodenext'))
  const builds = VERSIONS.flatMap(version => SETUPS.filter(setup => tries(version, setup)).map(setup => ({ version, setup })))

  await t.test('compile and run without the types of any client', async (t) => {
    await inPairs(builds, async ({ version, setup }) => {
      const programs = programFor(setup)
      const { errors, output } = await compile(root, root, version, setup, programs)
      t.equal(errors, '', `TypeScript ${version}, ${setup.name}`)
      await prints(t, output, programs)
    })
  })

  await t.test('compile and run with the clients by their own types, and after @fastify/session', async (t) => {
    // Under 5.6 the types of pg do not compile. Between, nothing differs that app.ts does not show.
    const some = builds.filter(({ version, setup }) => version === NEWEST || (version === '5.7' && setup.name === 'nodenext'))
    await inPairs(some, async ({ version, setup }) => {
      const { errors, output } = await compile(root, withClients, version, setup, ['compat.ts'])
      t.equal(errors, '', `TypeScript ${version}, ${setup.name}`)
      await prints(t, output, ['compat.ts'])
    })
  })

  await t.test('as CommonJS under TypeScript 5.6 and 5.7, compile with import() and not with import', async (t) => {
    await inPairs(VERSIONS.filter(version => isOlder(version, '5.8')), async (version) => {
      const setup: Setup = { name: 'old-commonjs', type: 'commonjs', flags: ['--module', 'nodenext'], since: version }
      const { codes } = await compile(root, root, version, setup, ['app.ts'])
      t.same(new Set(codes), new Set(['TS1479']), version)
      const { errors, output } = await compile(root, root, version, { ...setup, name: 'old-commonjs-import' }, ['dynamic.ts'])
      t.equal(errors, '', version)
      await prints(t, output, ['dynamic.ts'])
    })
  })

  // Last, because it is what the others rely on: their errors would be seen.
  await t.test('do not compile with mistakes in them', async (t) => {
    for (const setup of SETUPS.filter(({ type }) => type === 'module')) {
      const { codes } = await compile(root, root, NEWEST, { ...setup, name: `wrong-${setup.name}` }, ['wrong.ts'])
      t.same(codes, ['TS2769', 'TS2339', 'TS2353', 'TS2740', 'TS2322'], setup.name)
    }
  })
})

async function prints (t: Test, output: string, programs: string[]): Promise<void> {
  for (const name of programs.map(program => program.replace(/ts$/, 'js'))) {
    const { stdout } = await runNode([name], { cwd: output })
    t.equal(stdout.trim(), OUTPUT[name], name)
  }
}
