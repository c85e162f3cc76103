// What every network store has to stand: several server processes on one real database server, over HTTP, while
// processes, connections and the database server itself fail. Bounds are generous: they find what hangs, not what is slow.
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { CriticalSection } from './critical-section.js'
import { type Answer, hangUp, type Visitor } from './http-client.js'
import type { Service } from './local-services.js'
import { type NetworkSettings, ServerHost, type ServerProcess } from './server-process.js'

export interface NetworkFaultOptions {
  backend: NetworkSettings['backend']
  startService (t: Test): Promise<Service>
  /** Of the store; `lease` should be short. */
  options: object
  /** After so many ms at most, the lock of a dead process is free. */
  lease: number
  /** Whether sessions survive a crash of the database server. */
  durable: boolean
  /** Breaks all connections at the database server; absent: it has no command for it. */
  cut? (service: Service): Promise<void>
}

/** Time for a busy machine to do what takes a moment, in ms. */
const SLACK = 5000
/** Longer than lockTimeout, and than any time limit of a driver. Who has no answer by then hangs. */
const HANGS = 25_000
/** Longer than the stores wait for their servers, so that it shows, in ms. */
const OUTAGE = 3500
const CLEAR_ANSWERS = ['FST_SESSION_STORE_UNAVAILABLE', 'FST_SESSION_LOCK_TIMEOUT', 'FST_SESSION_LOCK_LOST']

export async function networkFaults (t: Test, { backend, startService, options, lease, durable, cut }: NetworkFaultOptions): Promise<void> {
  const base = t.testdir({ traces: {} })
  const traces = join(base, 'traces')
  const critical = new CriticalSection(traces)
  const service = await startService(t)
  const settings: NetworkSettings = { backend, port: service.port, options, traces }
  const host = new ServerHost(t, base)
  const start = async () => await host.start(settings, 'network-server')
  // One after the other: the first may have tables to make.
  const servers = [await start(), await start(), await start(), await start()] as const
  const [first, second, third] = servers
  t.teardown(hangUp)

  for (const route of ['/increment', '/section']) {
    t.test(`L1, L4: a counter stays exact in four processes (${route})`, async (t) => {
      const { cookie } = await newSession(first)
      const name = `exact${route.slice(1)}`
      const answers = await fromAll(servers, 3, async (server) => {
        const answers = []
        for (let i = 0; i < 25; i++) answers.push(await server.visitor(cookie).post(`${route}?section=${name}`))
        return answers
      })
      t.same(answers.flat().map(({ body }) => body.n).sort(ascending), upTo(300))
      t.equal((await first.visitor(cookie).get('/peek')).body.n, 300)
      t.equal(critical.stays(name).length, 300)
      t.equal(critical.overlaps, 0)
    })
  }

  t.test('L7: of twenty requests in four processes all are served, and each process gets its share', async (t) => {
    const { cookie } = await newSession(first)
    const answers = await fromAll(servers, 5, async server => await server.visitor(cookie).post('/increment?section=twenty&work=10'))
    t.same(answers.map(({ body }) => body.n).sort(ascending), upTo(20))
    t.ok(slowest(answers) < SLACK, `the slowest took ${slowest(answers)} ms`)

    let begun = 0
    await fromAll(servers, 3, async (server) => {
      while (begun++ < 300) await server.visitor(cookie).post('/increment?section=share&work=2')
    })
    const shares = new Map<number, number>()
    for (const { process } of critical.stays('share')) shares.set(process, (shares.get(process) ?? 0) + 1)
    t.equal(shares.size, 4)
    t.ok(Math.min(...shares.values()) >= 15, `shares of 300: ${[...shares.values()].join(', ')}`)
    t.equal(critical.overlaps, 0)
  })

  t.test('L6: when the holder is killed, those who wait in other processes run after its lease', async (t) => {
    const { cookie } = await newSession(first, 2)
    const victim = await start()
    const lost = victim.visitor(cookie).post('/increment?work=60000').catch(error => error.code)
    await until(victim, 'held', 1)
    const waiting = [first, first, second].map(async server => await server.visitor(cookie).post('/increment'))
    await until(first, 'waiting', 2)
    await until(second, 'waiting', 1)
    const killed = performance.now()
    await victim.kill()
    const answers = await Promise.all(waiting)
    const took = performance.now() - killed
    t.same(answers.map(({ body }) => body.n).sort(ascending), [3, 4, 5])
    t.ok(took < lease + 1000 + SLACK / 5, `after ${took} ms`)
    t.equal(await lost, 'ECONNRESET')
  })

  t.test('L7: who is killed while it waits is skipped, and the others get their turn', async (t) => {
    const { cookie } = await newSession(first)
    const victim = await start()
    const slow = first.visitor(cookie).post('/increment?work=1000')
    await until(first, 'held', 1)
    const lost = victim.visitor(cookie).post('/increment').catch(error => error.code)
    await until(victim, 'waiting', 1)
    const waiting = [second, third].map(async server => await server.visitor(cookie).post('/increment'))
    await until(second, 'waiting', 1)
    await until(third, 'waiting', 1)
    await victim.kill()
    t.equal((await slow).body.n, 1)
    const answers = await Promise.all(waiting)
    t.same(answers.map(({ body }) => body.n).sort(ascending), [2, 3])
    t.ok(slowest(answers) < 1000 + lease + 1000 + SLACK / 5, `the slowest took ${slowest(answers)} ms`)
    t.equal(await lost, 'ECONNRESET')
  })

  t.test('S1: who was frozen for longer than its lease cannot save over what others wrote', async (t) => {
    const { cookie } = await newSession(first)
    const frozen = await start()
    const late = frozen.visitor(cookie).post('/increment?work=500')
    await until(frozen, 'held', 1)
    frozen.freeze()
    t.teardown(() => frozen.thaw())
    t.equal((await second.visitor(cookie).post('/increment')).body.n, 1)
    t.equal((await first.visitor(cookie).post('/increment')).body.n, 2)
    frozen.thaw()
    const { status, body } = await late
    t.equal(status, 409)
    t.equal(body.code, 'FST_SESSION_LOCK_LOST')
    t.equal((await second.visitor(cookie).get('/peek')).body.n, 2)
    t.equal((await frozen.visitor(cookie).post('/increment')).body.n, 3, 'and works again')
  })

  t.test('S2: those who wait in other processes find nothing after destroy()', async (t) => {
    const { cookie } = await newSession(first, 3)
    const { waiting, answered } = await behind('/destroy?work=1000', cookie)
    t.equal(answered.status, 200)
    for (const { status, body } of waiting) t.same({ status, body }, { status: 200, body: { found: false } })
    for (const server of servers) t.same((await server.visitor(cookie).get('/peek')).body, { found: false })
  })

  t.test('I3: those who wait in other processes follow regenerate(true), or are refused', async (t) => {
    const { cookie } = await newSession(first, 3)
    const { waiting, answered } = await behind('/regenerate?keep=true&work=1000', cookie)
    t.equal(answered.body.n, 4)
    const followed = waiting.filter(({ status }) => status === 200)
    for (const { status, body } of waiting) if (status !== 200) t.same([status, body.code], [409, 'FST_SESSION_CONFLICT'])
    t.same(followed.map(({ body }) => body.n).sort(ascending), upTo(followed.length).map(n => n + 4))
    t.ok(waiting.every(answer => answer.cookie === null), 'the new id is not given to them')
    t.equal((await second.visitor(answered.cookie).get('/peek')).body.n, 4 + followed.length)
    for (const server of servers) t.same((await server.visitor(cookie).get('/peek')).body, { found: false })
  })

  t.test('L6: a process that gets SIGTERM passes the lock on, and those who wait elsewhere are served', async (t) => {
    const { cookie } = await newSession(first)
    const leaving = await start()
    const slow = leaving.visitor(cookie).post('/increment?work=1000').catch(error => error.code)
    await until(leaving, 'held', 1)
    const ownWaiter = leaving.visitor(cookie).post('/increment').catch(error => error.code)
    await until(leaving, 'waiting', 1)
    const waiting = [first, second].map(async server => await server.visitor(cookie).post('/increment'))
    await until(first, 'waiting', 1)
    await until(second, 'waiting', 1)
    leaving.terminate()
    const answers = await Promise.all(waiting)
    t.ok(answers.every(({ status }) => status === 200))
    t.ok(slowest(answers) < 1000 + lease + SLACK, `the slowest took ${slowest(answers)} ms`)
    await Promise.all([slow, ownWaiter])
    await leaving.exited()
    const values = answers.map(({ body }) => body.n)
    t.equal(new Set(values).size, 2)
    t.ok((await first.visitor(cookie).get('/peek')).body.n >= Math.max(...values))
  })

  t.test('S6: while the database server stands still nobody hangs for ever, and no update is lost', async (t) => {
    const { cookie, answers } = await during(async () => {
      service.freeze()
      await sleep(1500)
      service.thaw()
    })
    await assertNothingLost(t, cookie, answers)
  })

  if (cut !== undefined) {
    t.test('S6: when all connections break nobody hangs, and no update is lost', async (t) => {
      const { cookie, answers } = await during(async () => {
        for (let i = 0; i < 3; i++) {
          await cut(service)
          await sleep(300)
        }
      })
      await assertNothingLost(t, cookie, answers)
    })
  }

  t.test('S6: when the database server is killed and comes back nobody hangs, and no acknowledged save is lost', async (t) => {
    const { cookie, answers } = await during(async () => {
      await service.kill()
      await sleep(OUTAGE)
      await service.restart()
    })
    t.ok(answers.some(({ status }) => status === 503), 'the failure was seen')
    if (durable) await assertNothingLost(t, cookie, answers)
    else {
      assertClear(t, answers)
      for (const server of servers) t.same((await works(server, cookie)).body, { found: false }, 'what is gone does not come back')
    }
    const visitor = await newSession(second)
    const later = await fromAll(servers, 3, async server => await server.visitor(visitor.cookie).post('/increment'))
    t.same(later.map(({ body }) => body.n).sort(ascending), upTo(12), 'and all works again')
  })

  /** A request to `path` holds the lock while others wait in two other processes. */
  async function behind (path: string, cookie: string | null): Promise<{ answered: Answer, waiting: Answer[] }> {
    const slow = first.visitor(cookie).post(path)
    await until(first, 'held', 1)
    const waiting = [second, second, third].map(async server => await server.visitor(cookie).post('/increment'))
    await until(second, 'waiting', 2)
    await until(third, 'waiting', 1)
    return { answered: await slow, waiting: await Promise.all(waiting) }
  }

  /** Everybody increments one session before, during and after `fault`. */
  async function during (fault: () => Promise<void>): Promise<{ cookie: string | null, answers: Answer[] }> {
    const { cookie } = await newSession(first)
    const traffic = { stopped: false }
    const answering = fromAll(servers, 3, async (server) => {
      const answers = []
      while (!traffic.stopped) {
        const answer = await server.visitor(cookie).post('/increment?work=5')
        answers.push(answer)
        if (answer.status !== 200) await sleep(20)
      }
      return answers
    })
    try {
      await sleep(500)
      await fault()
      await sleep(1000)
    } finally {
      traffic.stopped = true
    }
    return { cookie, answers: (await answering).flat() }
  }

  async function assertNothingLost (t: Test, cookie: string | null, answers: Answer[]): Promise<void> {
    assertClear(t, answers)
    const saved = answers.filter(({ status }) => status === 200).map(({ body }) => body.n)
    t.equal(new Set(saved).size, saved.length, 'no value was given out twice')
    t.ok(saved.every(n => n > 0), 'the session was always found')
    // A save may be stored although its answer got lost, so there may be more.
    const { body } = await works(second, cookie)
    t.ok(body.n > Math.max(...saved), `${body.n} after ${Math.max(...saved)}`)
    t.ok(body.n <= answers.length + 1, `${body.n} after ${answers.length} requests`)
  }
}

function assertClear (t: Test, answers: Answer[]): void {
  const unclear = answers.filter(({ status, body }) => status !== 200 && !CLEAR_ANSWERS.includes(body.code))
  t.same(unclear.map(({ status, body }) => ({ status, body })), [])
  t.ok(slowest(answers) < HANGS, `the slowest took ${slowest(answers)} ms`)
}

/** An increment that succeeds once the service is back. */
async function works (server: ServerProcess, cookie: string | null): Promise<Answer> {
  for (const end = performance.now() + HANGS; ; await sleep(100)) {
    const answer = await server.visitor(cookie).post('/increment')
    if (answer.status === 200 || performance.now() > end) return answer
  }
}

async function newSession (server: ServerProcess, n = 0): Promise<Visitor> {
  const visitor = server.visitor()
  await visitor.post('/begin')
  for (let i = 0; i < n; i++) await visitor.post('/increment')
  return visitor
}

/** Waits until so many requests stand in the queues of the server, or hold a lock there. */
async function until (server: ServerProcess, what: 'waiting' | 'held', count: number): Promise<void> {
  const end = performance.now() + SLACK
  while ((await server.call('stats')).locks[what] < count) {
    if (performance.now() > end) throw new Error(`Not ${count} ${what} in time`)
    await sleep(5)
  }
}

/** Runs `fn` so many times at once for every server. */
async function fromAll<T> (servers: readonly ServerProcess[], times: number, fn: (server: ServerProcess) => Promise<T>): Promise<T[]> {
  return await Promise.all(servers.flatMap(server => Array.from({ length: times }, async () => await fn(server))))
}

function upTo (n: number): number[] {
  return Array.from({ length: n }, (_, i) => i + 1)
}

function slowest (answers: Answer[]): number {
  return Math.max(...answers.map(({ took }) => took))
}

function ascending (a: number, b: number): number {
  return a - b
}
