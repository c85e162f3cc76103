import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { getOk, openSession } from './client.js'
import { withFolder } from './folder.js'
import { start } from './fork.js'
import { startLoad } from './load.js'
import { median, spread, sum } from './stats.js'

const SECONDS = Number(process.env.BENCH_SECONDS ?? 2)
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 7)
const CONNECTIONS = 20
const PIPELINING = 10

const SCENARIOS = { 'one session': 1, '200 sessions': 200 }

async function startServer (contestant, title, folder, settings) {
  const directory = join(folder, contestant)
  await mkdir(directory)
  const { started: port, ask, stop } = await start(new URL('../servers/http.js', import.meta.url), { contestant, directory, ...settings })
  return { contestant, title, port, stop, cpu: () => ask('cpu') }
}

/** Sessions with a counter each, which knows what the servers' counters should say. */
class Counters {
  #seen

  static async open (port, amount) {
    const counters = new Counters()
    counters.port = port
    counters.cookies = []
    for (let i = 0; i < amount; i++) counters.cookies.push(await openSession(port, '/count'))
    counters.#seen = amount
    return counters
  }

  /** How many of these updates are missing now. Looking is an update too. */
  async lost (updates) {
    let seen = 0
    for (const cookie of this.cookies) {
      const { body } = await getOk(this.port, '/count', cookie)
      seen += body.n
    }
    const found = seen - this.cookies.length - this.#seen
    this.#seen = seen
    return updates - found
  }
}

async function measure (load, servers, sessions, title) {
  const shots = new Map()
  for (const server of servers) {
    shots.set(server, { counters: await Counters.open(server.port, sessions), rounds: [] })
  }
  for (let round = 0; round <= ROUNDS; round++) {
    for (const server of servers) {
      const { counters, rounds } = shots.get(server)
      const result = await load.run(server, {
        path: '/count',
        cookies: counters.cookies,
        connections: CONNECTIONS,
        pipelining: PIPELINING,
        seconds: SECONDS
      })
      const lost = await counters.lost(result.ok)
      if (round > 0) rounds.push({ ...result, lost }) // the first one warms up
    }
  }
  return new Map(servers.map((server) => [server.contestant, summarize(server, shots.get(server).rounds, title)]))
}

function summarize (server, rounds, title) {
  const of = (name) => rounds.map((round) => round[name])
  const failed = sum(of('failed'))
  console.log(`${title}, ${server.title}: CPU ${spread(of('cpu'))} µs, ` +
    `${spread(of('requestsPerSecond'), 0)} requests/s, load generator ${Math.round(median(of('loadBusy')) * 100)} % busy` +
    (failed > 0 ? `, ${failed} REQUESTS FAILED` : ''))
  return { title: server.title, rounds, cpu: median(of('cpu')), requestsPerSecond: median(of('requestsPerSecond')), lost: sum(of('lost')), answered: sum(of('ok')) }
}

function compare (results, targets, title) {
  const rows = [...results.values()].map(({ title: contestant, cpu, requestsPerSecond, lost, answered }) => ({
    name: `${contestant}, ${title}`,
    cpu,
    requestsPerSecond,
    lost: `${lost} of ${answered}`
  }))
  for (const [ours, other, quantity, atLeast] of targets) {
    const mine = results.get(ours)
    const theirs = results.get(other)
    if (mine === undefined || theirs === undefined) continue
    const ratio = advantage(quantity, mine.rounds, theirs.rounds)
    rows.push({ name: `${quantity === 'cpu' ? 'CPU' : 'requests/s'}: ${mine.title} against ${theirs.title}, ${title}`, check: { ratio, atLeast } })
  }
  return rows
}

/** How many times better, round by round, so that a machine that slows down meanwhile does not count; the median of that. */
function advantage (quantity, mine, theirs) {
  return median(mine.map((round, i) => quantity === 'cpu' ? theirs[i].cpu / round.cpu : round[quantity] / theirs[i][quantity]))
}

const CONCURRENT = 50

/** The worst of ROUNDS times 50 increments at once, with an await between reading and writing. */
async function lostUpdates (load, server) {
  const counters = await Counters.open(server.port, 1)
  let worst = 0
  for (let round = 0; round < ROUNDS; round++) {
    const { ok } = await load.run(server, {
      path: '/hop',
      cookies: counters.cookies,
      connections: CONCURRENT,
      pipelining: 1,
      amount: CONCURRENT
    })
    worst = Math.max(worst, await counters.lost(ok) + CONCURRENT - ok)
  }
  const row = { name: `${server.title}: ${CONCURRENT} increments at once`, lost: `${worst} of ${CONCURRENT}` }
  const ours = server.title.startsWith('locked')
  return ours ? { ...row, check: { ratio: worst, atMost: 0, unit: ' lost' } } : row
}

/**
 * Fires at some servers in turn and compares them. `titles`: what each contestant is called; `targets`: [ours, the other,
 * what the ratio is of, its target], all ratios being "how many times better"; `settings`: passed to the contestants.
 * BENCH_ONLY=bare,fastify-session measures some of them.
 */
export async function compareServers ({ titles, targets, settings = {} }) {
  const { BENCH_ONLY } = process.env
  const chosen = BENCH_ONLY === undefined ? Object.keys(titles) : BENCH_ONLY.split(',').filter(name => name in titles)
  return await withFolder(async (folder) => {
    const servers = []
    for (const contestant of chosen) servers.push(await startServer(contestant, titles[contestant], folder, settings))
    const load = await startLoad()
    const rows = []
    for (const [title, sessions] of Object.entries(SCENARIOS)) {
      rows.push(...compare(await measure(load, servers, sessions, title), targets, title))
    }
    for (const server of servers) rows.push(await lostUpdates(load, server))
    await Promise.all([load, ...servers].map(({ stop }) => stop()))
    return rows
  })
}
