import { join } from 'node:path'
import { withFolder } from './lib/folder.js'
import { start } from './lib/fork.js'
import { main } from './lib/main.js'
import { median, spread } from './lib/stats.js'

const WAITERS = 2000
const RUNS = 7

async function measure (ask, way) {
  const sizes = []
  for (let i = -2; i < RUNS; i++) {
    const size = await ask('measure', { way, waiters: WAITERS })
    if (i >= 0) sizes.push(size / 1000) // two to warm up
  }
  console.log(`  ${way}: ${spread(sizes, 2)} kB`)
  return median(sizes)
}

async function heap (title, directory) {
  const { ask, stop } = await start(new URL('./servers/heap.js', import.meta.url), { directory }, { execArgv: ['--expose-gc'] })
  console.log(`${title}, heap per waiter of ${WAITERS}:`)
  const manager = await measure(ask, 'manager')
  const locked = await measure(ask, 'locked')
  const bare = await measure(ask, 'bare')
  await stop()
  return [
    { name: `heap per waiter, ${title}`, check: { ratio: manager, atMost: 4, unit: ' kB' } },
    { name: `heap per waiting app.inject(), ${title}: ${locked.toFixed(1)} kB, without a session ${bare.toFixed(1)} kB` }
  ]
}

await main(() => withFolder(async (folder) => [
  ...await heap('memory store'),
  ...await heap('file store', join(folder, 'sessions'))
]))
