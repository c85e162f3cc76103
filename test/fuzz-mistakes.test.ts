// The fuzz is worth something only if it finds mistakes: two plausible plugins with one mistake each must fail it.
import { test } from 'tap'
import { MemoryStore } from '../lib/index.js'
import { fuzz, type FuzzReport } from './helpers/fuzz-run.js'
import { type Mistake, wrongPlugin } from './helpers/fuzz-wrong-plugins.js'

const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 1_000_000)

function mistaken (mistake: Mistake, http2: boolean): Promise<FuzzReport> {
  return fuzz({ seed, requests: 600, store: new MemoryStore(), http2, plugin: wrongPlugin(mistake) })
}

function found (report: FuzzReport, problem: RegExp): number {
  return Object.entries(report.problems).reduce((sum, [text, times]) => problem.test(text) ? sum + times : sum, 0)
}

for (const http2 of [false, true]) {
  const protocol = http2 ? 'HTTP/2' : 'HTTP/1.1'

  test(`the fuzz finds a plugin that unlocks when the client leaves, ${protocol} (FUZZ_SEED=${seed})`, async (t) => {
    const report = await mistaken('unlock at close', http2)
    t.ok(found(report, /^lost/) > 0, 'lost updates')
    t.ok(found(report, /held the lock at once/) > 0, 'two holders at once')
  })

  test(`the fuzz finds a plugin that saves and unlocks in onResponse, ${protocol} (FUZZ_SEED=${seed})`, async (t) => {
    const report = await mistaken('save in onResponse', http2)
    t.ok(found(report, /^stuck/) > 0, 'locks that nobody gives back')
    t.ok(found(report, /^lost/) > 0, 'lost updates')
  })
}
