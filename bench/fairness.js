import { join } from 'node:path'
import { getOk, openSession } from './lib/client.js'
import { now } from './lib/clock.js'
import { withFolder } from './lib/folder.js'
import { start } from './lib/fork.js'
import { main } from './lib/main.js'
import { median, percentile } from './lib/stats.js'

const CLIENTS = 8
const REQUESTS = 25
const HOLD = 20

/** One client: the next request goes out when the last one is answered. Resolves to its finish time. */
async function client (port, cookie, waits) {
  for (let i = 0; i < REQUESTS; i++) {
    const asked = now()
    const { body } = await getOk(port, '/hold', cookie)
    waits.push(body.begin - asked)
  }
  return now()
}

async function measure (title, directory) {
  const { started: port, stop } = await start(new URL('./servers/worker.js', import.meta.url), { directory, hold: HOLD })
  const cookie = await openSession(port, '/start')
  const waits = []
  const begin = now()
  const finishes = await Promise.all(Array.from({ length: CLIENTS }, () => client(port, cookie, waits)))
  const { body } = await getOk(port, '/hold', cookie)
  await stop()

  const times = finishes.map((finish) => finish - begin)
  const [first, last] = [Math.min(...times), Math.max(...times)]
  const [typical, slowest] = [median(waits), Math.max(...waits)]
  console.log(`${title}: waits p50 ${typical.toFixed(1)} ms, p95 ${percentile(waits, 0.95).toFixed(1)}, max ${slowest.toFixed(1)}; ` +
    `clients finished after ${first.toFixed(0)} to ${last.toFixed(0)} ms`)

  const all = CLIENTS * REQUESTS
  return [
    { name: `fairness, ${title}: slowest wait against the median`, requestsPerSecond: all * 1000 / last, lost: `${all + 1 - body.n} of ${all}`, check: { ratio: slowest / typical, atMost: 2 } },
    { name: `fairness, ${title}: spread of finish times`, check: { ratio: (last - first) / last * 100, atMost: 20, unit: ' %' } }
  ]
}

await main(() => withFolder(async (folder) => [
  ...await measure('memory store'),
  ...await measure('file store', join(folder, 'sessions'))
]))
