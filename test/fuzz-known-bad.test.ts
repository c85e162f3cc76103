// The fuzz can fail: it finds what is wrong with plugins that are wrong on purpose.
import { test } from 'tap'
import { MemoryStore } from '../lib/index.js'
import { fuzz } from './helpers/fuzz-run.js'
import { savesInOnResponse, unchanged, unlocksOnClose } from './helpers/wrong-plugins.js'

const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 1_000_000)

const variants = [
  { name: 'saves in onResponse', plugin: savesInOnResponse, finding: /^stuck|LOCK_TIMEOUT/ },
  { name: 'unlocks on close', plugin: unlocksOnClose, finding: /two requests held the lock at once/ }
]

for (const { name, plugin, finding } of variants) {
  test(`L6: the fuzz finds what is wrong with a plugin that ${name} (FUZZ_SEED=${seed})`, async (t) => {
    const { problems } = await fuzz({ seed, requests: 600, store: new MemoryStore(), plugin })
    const found = Object.keys(problems).filter(problem => finding.test(problem))
    console.log(`  ${name}: ${found.length} of ${Object.keys(problems).length} kinds of problems, e.g. ${found[0]}`)
    t.ok(found.length > 0, 'it has noticed')
  })
}

test(`L6: and nothing about the same plugin as it is (FUZZ_SEED=${seed})`, async (t) => {
  const { problems } = await fuzz({ seed, requests: 600, store: new MemoryStore(), plugin: unchanged })
  t.same(problems, {})
})
