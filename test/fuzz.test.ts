// Random requests of random clients, half of whom leave at a random moment: nothing is lost, no lock stays (rules L1, L6, S1).
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { MemoryStore, type Store } from '../lib/index.js'
import { FileStore } from '../lib/stores/file/index.js'
import { AwaitedStore, smallDelays } from './helpers/awaited-store.js'
import { fuzz, type FuzzOptions } from './helpers/fuzz-run.js'
import { seededRandom } from './helpers/seeded-random.js'

// Timing is not repeatable, so a seed repeats what is asked and when clients leave, not every race.
const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 1_000_000)
const factor = Number(process.env.FUZZ_FACTOR ?? 1)

function run (title: string, requests: number, makeStore: (t: Test) => Store, options: Partial<FuzzOptions> = {}): void {
  test(`L1, L6, S1: ${title} (FUZZ_SEED=${seed})`, async (t) => {
    const report = await fuzz({ seed, requests: requests * factor, store: makeStore(t), ...options })
    t.comment(JSON.stringify(report))
    t.same(report.problems, {}, 'nothing went wrong')
    t.ok(report.kept > requests / 4, 'much was written')
    t.ok(report.locks.cancelled > 0, 'some left while they waited')
  })
}

const random = seededRandom(seed)

run('HTTP/1.1, in memory', 4000, () => new MemoryStore())
run('HTTP/2, in memory', 4000, () => new MemoryStore(), { http2: true })
run('HTTP/1.1, a store that answers later', 2000, () => new AwaitedStore(new MemoryStore(), smallDelays(random)))
run('HTTP/2, a store that answers later', 2000, () => new AwaitedStore(new MemoryStore(), smallDelays(random)), { http2: true })
run('HTTP/1.1, in files', 2000, (t) => new FileStore({ directory: join(t.testdirName, 'sessions') }))
run('HTTP/2, in files', 2000, (t) => new FileStore({ directory: join(t.testdirName, 'sessions') }), { http2: true })
