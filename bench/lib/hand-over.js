import { getOk, openSession } from './client.js'
import { now } from './clock.js'
import { start } from './fork.js'
import { mean, median, percentile, spread, sum } from './stats.js'

const PROCESSES = 4
const REQUESTS = 20
const HOLD = 10
const RUNS = 15

async function startServers (settings) {
  const servers = []
  for (let i = 0; i < PROCESSES; i++) {
    servers.push(await start(new URL('../servers/worker.js', import.meta.url), { ...settings, hold: HOLD }))
  }
  return servers
}

/** The connections exist before the clock starts. */
async function warmUp (ports) {
  await Promise.all(Array.from({ length: REQUESTS }, (_, i) => getOk(ports[i % PROCESSES], '/ping')))
}

async function run (ports) {
  const cookie = await openSession(ports[0], '/start')
  await warmUp(ports)
  const begin = now()
  const answers = await Promise.all(Array.from({ length: REQUESTS }, (_, i) =>
    getOk(ports[i % PROCESSES], '/hold', cookie)))
  const total = now() - begin

  const turns = answers.map(({ body }) => body).sort((a, b) => a.begin - b.begin)
  return {
    total,
    work: sum(turns.map(({ begin, end }) => end - begin)),
    gaps: turns.slice(1).map(({ begin }, i) => begin - turns[i].end),
    lost: REQUESTS - Math.max(...turns.map(({ n }) => n))
  }
}

/** How quickly a lock passes on between processes. `settings` say on which store. */
export async function handOver ({ settings, title, atMost }) {
  const servers = await startServers(settings)
  const ports = servers.map(({ started }) => started)
  const runs = []
  for (let i = -2; i < RUNS; i++) {
    const result = await run(ports)
    if (i >= 0) runs.push(result) // two to warm up
  }
  await Promise.all(servers.map(({ stop }) => stop()))

  const of = (name) => runs.map((run) => run[name])
  const gaps = of('gaps').flat()
  const total = median(of('total'))
  const overlaps = gaps.filter((gap) => gap < 0).length
  console.log(`total ${spread(of('total'))} ms, median ${total.toFixed(1)}; work took ${(mean(of('work')) / REQUESTS).toFixed(2)} ms instead of ${HOLD}`)
  console.log(`from one handler's end to the next one's start: p50 ${median(gaps).toFixed(2)} ms, ` +
    `p95 ${percentile(gaps, 0.95).toFixed(2)}, max ${Math.max(...gaps).toFixed(2)}; ${overlaps} overlaps`)

  const lost = `${sum(of('lost'))} of ${RUNS * REQUESTS}`
  const name = `${title}, ${REQUESTS} x ${HOLD} ms in ${PROCESSES} processes`
  return [
    { name: `${name}: total against ${REQUESTS * HOLD} ms`, requestsPerSecond: REQUESTS * 1000 / total, lost, check: { ratio: total / (REQUESTS * HOLD), atMost } },
    { name: `${name}: total against the work itself`, check: { ratio: median(runs.map(({ total, work }) => total / work)), atMost } },
    { name: `${name}: gap p50 ${median(gaps).toFixed(2)} ms, p95 ${percentile(gaps, 0.95).toFixed(2)} ms` },
    { name: `${name}: handlers at the same time`, check: { ratio: overlaps, atMost: 0 } }
  ]
}
