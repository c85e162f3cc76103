// The file store across processes: exact under contention, and after whatever happens to one of them.
import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import t from 'tap'
import { CriticalSection } from './helpers/critical-section.js'
import { hangUp, type Visitor } from './helpers/http-client.js'
import { ServerHost, type ServerProcess } from './helpers/server-process.js'
import { SessionFiles } from './helpers/session-files.js'
import { HURRY } from './helpers/session-routes.js'

const base = t.testdir({ traces: {} })
const traces = join(base, 'traces')
const directory = join(base, 'sessions')
const settings = { store: { directory }, session: { touchInterval: 0 }, traces }
const host = new ServerHost(t, base)
const critical = new CriticalSection(traces)
const folder = new SessionFiles(directory)
const servers = await host.startMany(4, settings)
const [first, second, third] = servers as [ServerProcess, ServerProcess, ServerProcess]
t.teardown(hangUp)

/** "At once", on a machine that has other things to do. Who waits in vain gives up after ten seconds. */
const AT_ONCE = 1000

async function newSession (n = 0): Promise<Visitor> {
  const visitor = first.visitor()
  await visitor.post('/begin')
  for (let i = 0; i < n; i++) await visitor.post('/increment')
  return visitor
}

/** Waits until so many requests stand in the queues of the server, or hold a lock there. */
async function until (server: ServerProcess, what: 'waiting' | 'held', count: number): Promise<void> {
  const end = performance.now() + 5000
  while ((await server.call('stats')).locks[what] < count) {
    if (performance.now() > end) throw new Error(`Not ${count} ${what} within five seconds`)
    await sleep(5)
  }
}

/** How long the disk may take to have what was written, in ms. */
function flushTime (folder: string): number {
  const fd = openSync(join(folder, 'flushed'), 'w')
  const times = [1, 2, 3, 4, 5].map((byte) => {
    const began = performance.now()
    writeSync(fd, `${byte}`)
    fdatasyncSync(fd)
    return performance.now() - began
  })
  closeSync(fd)
  return Math.max(...times)
}

const TOTAL = 1200

for (const processes of [2, 4]) {
  for (const route of ['/increment', '/section']) {
    t.test(`L1, L4: a counter stays exact in ${processes} processes (${route})`, async (t) => {
      const { cookie } = await newSession()
      const name = `exact${processes}${route.slice(1)}`
      const visitors = servers.slice(0, processes).flatMap(server => Array.from({ length: 4 }, () => server.visitor(cookie)))
      const each = TOTAL / visitors.length
      const values = new Set<number>()
      const failures: unknown[] = []
      await Promise.all(visitors.map(async (visitor) => {
        for (let i = 0; i < each; i++) {
          const { status, body } = await visitor.post(`${route}?section=${name}`)
          if (status === 200) values.add(body.n)
          else failures.push(body)
        }
      }))
      t.same(failures, [])
      t.equal(values.size, TOTAL, 'every value was given out once')
      t.equal((await first.visitor(cookie).get('/peek')).body.n, TOTAL)
      t.equal(critical.stays(name).length, TOTAL)
      t.equal(critical.overlaps, 0)
    })
  }
}

/** Lets all servers want one session until it was granted so often; returns who had it and how fast it changed hands. */
async function compete (name: string, grants: number): Promise<{ shares: number[], median: number }> {
  const { cookie } = await newSession()
  const visitors = servers.flatMap(server => [1, 2, 3].map(() => server.visitor(cookie)))
  let begun = 0
  await Promise.all(visitors.map(async (visitor) => {
    while (begun++ < grants) await visitor.post(`/increment?section=${name}`)
  }))
  const stays = critical.stays(name)
  // Not all begin at the same moment.
  const counted = stays.slice(stays.findIndex((_, i) => new Set(stays.slice(0, i).map(stay => stay.process)).size === servers.length))
  const shares = new Map<number, number>()
  for (const { process } of counted) shares.set(process, (shares.get(process) ?? 0) + 1)
  const handOvers = stays
    .flatMap(({ process, entered }, i) => i > 0 && stays[i - 1]!.process !== process ? [entered - stays[i - 1]!.left] : [])
    .sort((a, b) => a - b)
  return { shares: [...shares.values()].map(share => share / counted.length), median: handOvers[handOvers.length >> 1]! }
}

t.test('L7: every process gets its share of a session that all want, and wakes up for it', async (t) => {
  const { shares, median } = await compete('share', 1000)
  t.equal(shares.length, 4)
  t.ok(Math.min(...shares) > 0.05 && Math.max(...shares) < 0.6, `shares: ${shares.join(', ')}`)
  t.ok(median < 8, `the median hand-over took ${median} ms; the retry would take 15 or more`)
  t.equal(critical.overlaps, 0)
})

t.test('L7: who waits wakes up at once when the holder saves early, or slowly', async (t) => {
  const [holder, waiter] = await host.startMany(2, { store: { directory, durable: true }, traces }) as [ServerProcess, ServerProcess]
  for (const [name, query] of [['early', '&early=20'], ['durable', '']] as const) {
    const { cookie } = await newSession()
    const handOvers: number[] = []
    for (let round = 0; round < 15; round++) {
      const slow = holder.visitor(cookie).post(`/increment?section=${name}&work=20${query}`)
      await until(holder, 'held', 1)
      await waiter.visitor(cookie).post(`/increment?section=${name}`)
      await slow
      const [left, entered] = critical.stays(name).slice(-2)
      handOvers.push(entered!.entered - left!.left)
    }
    const median = handOvers.sort((a, b) => a - b)[7]!
    t.ok(median < 8 + flushTime(base), `${name}: the median hand-over took ${median} ms`)
  }
})

t.test('L6, F-01: killed while it holds the lock, with others waiting in two processes', async (t) => {
  for (let round = 0; round < 3; round++) {
    const { cookie } = await newSession(2)
    const victim = await host.start(settings)
    const lost = victim.visitor(cookie).post('/increment?work=60000')
    lost.catch(() => {})
    await until(victim, 'held', 1)
    const waiting = [first, first, second].map(async server => await server.visitor(cookie).post('/increment'))
    await until(first, 'waiting', 2)
    await until(second, 'waiting', 1)
    const killed = performance.now()
    await victim.kill()
    const answers = await Promise.all(waiting)
    t.ok(performance.now() - killed < AT_ONCE)
    t.same(answers.map(answer => answer.body.n).sort(), [3, 4, 5])
    await t.rejects(lost, { code: 'ECONNRESET' })
  }
})

t.test('F-14: killed while it waits, it hinders nobody', async (t) => {
  const { cookie } = await newSession()
  const victim = await host.start(settings)
  const slow = first.visitor(cookie).post('/increment?work=200')
  await until(first, 'held', 1)
  victim.visitor(cookie).post('/increment').catch(() => {})
  await until(victim, 'waiting', 1)
  const waiting = second.visitor(cookie).post('/increment')
  await until(second, 'waiting', 1)
  await victim.kill()
  t.equal((await slow).body.n, 1)
  const { body, took } = await waiting
  t.equal(body.n, 2)
  t.ok(took < 200 + AT_ONCE)
})

t.test('L8, F-03: a frozen holder is named to those who wait in vain, and finishes when it wakes up', async (t) => {
  const { cookie } = await newSession()
  const frozen = await host.start(settings)
  const slow = frozen.visitor(cookie).post('/increment?work=1000')
  await until(frozen, 'held', 1)
  await sleep(800) // Who holds a lock for half a second is described.
  await frozen.freeze()
  t.teardown(() => frozen.thaw())

  const refused = await Promise.all([first, first, second].map(async server => await server.visitor(cookie).post('/hurry')))
  for (const { status, body, headers, took } of refused) {
    t.equal(status, 503)
    t.equal(body.code, 'FST_SESSION_LOCK_TIMEOUT')
    t.match(body.message, /held by POST \/increment for \d+ ms/)
    t.equal(headers['retry-after'], '1')
    t.ok(took >= HURRY - 10 && took < HURRY + AT_ONCE, `after ${took} ms`)
  }
  t.equal((await second.visitor(cookie).get('/peek')).body.n, 0, 'readers do not wait')

  const patient = second.visitor(cookie).post('/increment')
  await until(second, 'waiting', 1)
  frozen.thaw()
  t.equal((await slow).body.n, 1)
  t.equal((await patient).body.n, 2)
})

t.test('S1: who is overtaken after maxHold by another process cannot save', async (t) => {
  const { cookie } = await newSession()
  const stuck = await host.start({ ...settings, session: { ...settings.session, maxHold: 200 } })
  const late = stuck.visitor(cookie).post('/increment?work=1000')
  await until(stuck, 'held', 1)
  t.equal((await second.visitor(cookie).post('/increment')).body.n, 1)
  const { status, body } = await late
  t.equal(status, 409)
  t.equal(body.code, 'FST_SESSION_LOCK_LOST')
  t.equal((await second.visitor(cookie).post('/increment')).body.n, 2)

  const alone = await stuck.visitor(cookie).post('/increment?work=600')
  t.equal(alone.body.n, 3, 'but who was late without being overtaken can')
  t.equal((await second.visitor(cookie).get('/peek')).body.n, 3)
})

t.test('I4: a visit extends the session, whatever is said about its lock meanwhile', async (t) => {
  const idleTimeout = 2000
  const [here, there] = await host.startMany(2, { ...settings, session: { ...settings.session, idleTimeout } }) as [ServerProcess, ServerProcess]
  const visitor = here.visitor()
  await visitor.post('/begin')
  const begun = performance.now()
  const at = async (time: number) => await sleep(begun + time - performance.now())

  await at(1000)
  await visitor.get('/visit?work=300') // So long that the file says what holds its lock.
  await at(2500)
  t.ok((await visitor.get('/peek')).body.found, 'found later than idleTimeout after the last save')

  const long = visitor.get('/visit?work=300')
  await until(here, 'held', 1)
  const waiting = there.visitor(visitor.cookie).get('/visit')
  t.ok((await waiting).body.found, 'found by who had to wait')
  t.ok((await long).body.found)
  await at(3800)
  t.ok((await visitor.get('/peek')).body.found, 'found after a visit that others waited for')
  await visitor.post('/destroy')
})

t.test('I3: those who wait in another process follow regenerate(true) into the new session', async (t) => {
  const visitor = await newSession(5)
  const old = visitor.cookie
  await third.visitor(old).get('/visit')
  const regenerating = visitor.post('/regenerate?keep=true&work=200')
  await until(first, 'held', 1)
  const waiting = [first, first, second, second, second].map(async server => await server.visitor(old).post('/increment'))
  await until(first, 'waiting', 2)
  await until(second, 'waiting', 3)
  t.equal((await regenerating).body.n, 6)
  const answers = await Promise.all(waiting)
  t.same(answers.map(({ body }) => body.n).sort(), [10, 11, 7, 8, 9])
  t.ok(answers.every(({ cookie }) => cookie === null), 'the new id is not given to them')
  t.equal((await visitor.at(second.port).get('/peek')).body.n, 11)
  for (const server of servers) t.same((await server.visitor(old).get('/visit')).body, { found: false }, 'the old id is dead for newcomers')
})

t.test('I3: they follow it even if the process is killed before it has deleted the old session', async (t) => {
  const { cookie } = await newSession(5)
  const victim = await host.start(settings)
  await victim.call('crash', { moment: 'before', n: 1, of: ['unlink'] })
  const regenerating = victim.visitor(cookie).post('/regenerate?keep=true&work=200')
  regenerating.catch(() => {})
  await until(victim, 'held', 1)
  const waiting = [first, second, second].map(async server => await server.visitor(cookie).post('/increment'))
  await until(first, 'waiting', 1)
  await until(second, 'waiting', 2)
  await t.rejects(regenerating, { code: 'ECONNRESET' })
  t.same((await Promise.all(waiting)).map(({ body }) => body.n).sort(), [6, 7, 8])
  for (const server of servers) t.same((await server.visitor(cookie).get('/visit')).body, { found: false })
})

t.test('I3: after regenerate() without keep, those who wait in another process are refused', async (t) => {
  const visitor = await newSession(5)
  const old = visitor.cookie
  const regenerating = visitor.post('/regenerate?work=200')
  await until(first, 'held', 1)
  const waiting = [first, first, second, second, second].map(async server => await server.visitor(old).post('/increment'))
  await until(first, 'waiting', 2)
  await until(second, 'waiting', 3)
  t.equal((await regenerating).body.n, 0)
  for (const { status, body } of await Promise.all(waiting)) {
    t.equal(status, 409)
    t.equal(body.code, 'FST_SESSION_CONFLICT')
  }
  t.equal((await visitor.at(second.port).get('/peek')).body.n, 0)
  for (const server of servers) t.same((await server.visitor(old).get('/visit')).body, { found: false })
})

t.test('S2: those who wait in another process find nothing after destroy()', async (t) => {
  const visitor = await newSession(5)
  const { cookie } = visitor
  const destroying = visitor.post('/destroy?work=200')
  await until(first, 'held', 1)
  const waiting = [first, second, second].map(async server => await server.visitor(cookie).post('/increment'))
  await until(first, 'waiting', 1)
  await until(second, 'waiting', 2)
  await destroying
  t.same((await Promise.all(waiting)).map(({ body }) => body), [{ found: false }, { found: false }, { found: false }])
  t.same((await second.visitor(cookie).get('/peek')).body, { found: false })
})

t.test('C1: a cleaner without a pause beside 10 000 locks lets no two in, and loses nothing', async (t) => {
  const cleaner = await host.start(settings)
  const shortLived = await host.start({ ...settings, session: { ...settings.session, idleTimeout: 40 } })
  const cleaning = cleaner.call('pruneForEver')
  const visitors = await Promise.all(Array.from({ length: 8 }, async () => await newSession()))
  const ids = visitors.map(visitor => visitor.cookie)
  const locking = Promise.all(servers.slice(0, 2).map(async server => await server.call('cycle', ids, 5000)))

  const traffic = { stopped: false }
  let destroyed = 0
  let expired = 0
  const surprises: unknown[] = []
  const comeAndGo = [1, 2].map(async () => {
    while (!traffic.stopped) {
      const visitor = servers[2]!.visitor()
      await visitor.post('/begin')
      const { cookie } = visitor
      for (let i = 0; i < 3; i++) await visitor.post('/increment')
      const before = await visitor.get('/peek')
      if (before.body.n !== 3) surprises.push(before.body)
      await visitor.post('/destroy')
      destroyed++
      const after = await servers[3]!.visitor(cookie).get('/visit')
      if (after.body.found) surprises.push(after.body)
    }
  })
  const comeAndExpire = [1, 2].map(async () => {
    while (!traffic.stopped) {
      await shortLived.visitor().post('/begin')
      expired++
      await sleep(1)
    }
  })

  await locking
  traffic.stopped = true
  await Promise.all([...comeAndGo, ...comeAndExpire])
  await sleep(60)
  await cleaner.call('stopPruning')
  const { rounds, deleted } = await cleaning
  const { deleted: rest } = await cleaner.call('prune')
  t.ok(rounds > 100 && destroyed > 50 && expired > 50, 'all were busy')
  t.equal(critical.overlaps, 0)
  t.same(surprises, [])
  t.equal(deleted + rest, expired)
  const counters = await Promise.all(visitors.map(async visitor => (await visitor.get('/peek')).body.n))
  t.same(counters, ids.map(() => 10_000 / ids.length))
})

interface State { found: boolean, n?: number, size?: number }

interface CrashCase {
  name: string
  /** The request that does not survive. */
  method: 'get' | 'post'
  path: string
  /** What the session may be afterwards. */
  old: State
  new: State
}

const crashCases: CrashCase[] = [
  { name: 'a save', method: 'post', path: '/increment', old: { found: true, n: 3, size: 0 }, new: { found: true, n: 4, size: 0 } },
  { name: 'a touch', method: 'get', path: '/visit', old: { found: true, n: 3, size: 0 }, new: { found: true, n: 3, size: 0 } },
  { name: 'growth', method: 'post', path: '/fill?size=3000', old: { found: true, n: 3, size: 0 }, new: { found: true, n: 4, size: 3000 } },
  { name: 'a destroy', method: 'post', path: '/destroy', old: { found: true, n: 3, size: 0 }, new: { found: false } },
  { name: 'a regenerate(true)', method: 'post', path: '/regenerate?keep=true', old: { found: true, n: 3, size: 0 }, new: { found: false } },
  { name: 'a create', method: 'post', path: '/begin', old: { found: false }, new: { found: false } }
]

t.test('F-04: killed at any file operation, the next request finds the old or the new state at once', async (t) => {
  const spares: Promise<ServerProcess>[] = []
  const spare = async () => {
    while (spares.length < 3) spares.push(host.start(settings))
    return await spares.shift()!
  }
  const moments = [{ moment: 'after' }, { moment: 'half-way', of: ['save', 'write'] }] as const
  let crashes = 0
  for (const { name, method, path, old, new: updated } of crashCases) {
    const cookieOf = (visitor: Visitor) => old.found ? visitor.cookie : null
    for (const { moment, ...of } of moments) {
      // Until it gets through because it has fewer operations.
      for (let n = 1, survived = false; !survived; n++) {
        const what = `${name}, killed ${moment} ${n}`
        const cookie = cookieOf(await newSession(3))
        const victim = await spare()
        await victim.call('crash', { n, moment, ...of })
        try {
          const { status } = await victim.visitor(cookie)[method](path)
          t.equal(status, 200, what)
          survived = true
          spares.unshift(Promise.resolve(victim))
        } catch (error) {
          t.match(error, { code: 'ECONNRESET' }, what)
          crashes++
        }
        const { took, body } = await second.visitor(cookie).get('/visit')
        t.ok(took < AT_ONCE, `${what}: answered after ${took} ms`)
        t.ok([old, updated].some(state => isDeepStrictEqual(state, body)), `${what}: ${JSON.stringify(body)}`)
      }
    }
  }

  t.ok(crashes > 35)
  t.ok(folder.leftovers.length > 0, 'a crash in the middle of a move leaves an unfinished file')
  folder.age()
  await first.call('prune')
  t.same(folder.leftovers, [], 'which the cleaner deletes')
  t.equal((await first.call('counters')).length, folder.names.length, 'every other file is a session')
  await Promise.all(spares.map(async starting => await (await starting).kill()))
})
