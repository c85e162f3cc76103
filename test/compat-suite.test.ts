// Runs the tests of @fastify/session, unchanged, against the compat plugin. See test/vendor/fastify-session.
import { execFile } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'

const FOLDER = join(import.meta.dirname, 'vendor/fastify-session')

const UNAVAILABLE = 'a store that fails is answered with 503, not 500, and what its driver said stays in the log'

/** Tests that fail, by file and title, and why they should. */
const exceptions: Record<string, string> = {
  'session: should bubble up errors with destroy call if session expired': UNAVAILABLE,
  'store: should pass error on store.set to done': UNAVAILABLE,
  'store: should pass error to done if non-ENOENT error on store.get': UNAVAILABLE,
  'store: should set new session cookie if expired': UNAVAILABLE
}

interface Results {
  passed: number
  failed: Map<string, string>
}

for (const file of readdirSync(join(FOLDER, 'test')).filter(name => name.endsWith('.test.js'))) {
  test(`@fastify/session's ${file} passes but for the named exceptions`, async (t) => {
    const { passed, failed } = await run(file)
    const name = file.replace('.test.js', '')
    t.ok(passed > 0, `${passed} passed`)
    const expected = Object.keys(exceptions).filter(title => title.startsWith(`${name}: `)).sort()
    const titles = [...failed.keys()].map(title => `${name}: ${title}`).sort()
    t.same(titles, expected, 'exactly the exceptions fail', { failures: Object.fromEntries(failed) })
    for (const [title, output] of failed) {
      // An exception covers one reason, not whatever else may go wrong in the same test.
      t.match(output, '503 !== 500', title)
    }
  })
}

/** Reads the TAP of node:test, of which only the outermost tests count. */
async function run (file: string): Promise<Results> {
  const env = { ...process.env, NODE_OPTIONS: '' }
  // Set by node:test for its children, and then they do not print TAP.
  delete (env as NodeJS.ProcessEnv).NODE_TEST_CONTEXT
  const output = await new Promise<string>((resolve) => {
    const args = ['--disable-warning=ExperimentalWarning', '--test-reporter=tap', join('test', file)]
    execFile(process.execPath, args, { cwd: FOLDER, env, timeout: 60_000, maxBuffer: 16 * 1024 * 1024 }, (_error, stdout) => resolve(stdout))
  })
  const results: Results = { passed: 0, failed: new Map() }
  const lines = output.split('\n')
  lines.forEach((line, index) => {
    if (/^ok \d+ - /.test(line)) results.passed++
    const title = /^not ok \d+ - (.*)$/.exec(line)?.[1]
    if (title === undefined) return
    const end = lines.findIndex((other, at) => at > index && /^(ok|not ok|#|1\.\.)/.test(other))
    results.failed.set(title, lines.slice(index, end === -1 ? undefined : end).join('\n'))
  })
  return results
}
