// S6 over a network: the database server stands still, loses its connections, or is killed, under traffic of four
// processes. Bounds are generous: they find what hangs, not what is slow.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import type { Answer } from './http-client.js'
import { counted, HANGS, type NetworkScene, slowest, upTo } from './network-scene.js'

export interface OutageOptions {
  /** Whether sessions survive a crash of the database server. */
  durable: boolean
  /** Breaks all connections to the database server; returns how many there were. */
  cut (): Promise<number>
}

/** Longer than the stores wait for their servers, so that it shows, in ms. */
const OUTAGE = 3500
const CLEAR_ANSWERS = ['FST_SESSION_STORE_UNAVAILABLE', 'FST_SESSION_LOCK_TIMEOUT', 'FST_SESSION_LOCK_LOST']

export function outages (t: Test, scene: NetworkScene, { durable, cut }: OutageOptions): void {
  const { service, servers } = scene

  t.test('S6: while the database server stands still nobody hangs for ever, and no update is lost', async (t) => {
    const { cookie, answers } = await during(scene, async () => {
      await service.freeze()
      await sleep(1500)
      service.thaw()
    })
    await assertNothingLost(t, scene, cookie, answers)
  })

  t.test('S6: when all connections break nobody hangs, and no update is lost', async (t) => {
    const { cookie, answers } = await during(scene, async () => {
      for (let i = 0; i < 3; i++) {
        t.ok(await cut() >= servers.length)
        await sleep(300)
      }
    })
    await assertNothingLost(t, scene, cookie, answers)
  })

  t.test('S6: when the database server is killed and comes back nobody hangs, and no acknowledged save is lost', async (t) => {
    const { cookie, answers } = await during(scene, async () => {
      await service.kill()
      await sleep(OUTAGE)
      await service.restart()
    })
    t.ok(answers.some(({ status }) => status === 503), 'the failure was seen')
    if (durable) await assertNothingLost(t, scene, cookie, answers)
    else {
      assertClear(t, answers)
      for (const server of servers) t.same((await scene.works(server, cookie)).body, { found: false }, 'what is gone does not come back')
    }
    const visitor = await scene.newSession()
    const later = await scene.fromAll(3, async server => await server.visitor(visitor.cookie).post('/increment'))
    t.same(counted(later), upTo(12), 'and all works again')
  })
}

/** Everybody increments one session before, during and after `fault`. */
export async function during (scene: NetworkScene, fault: () => Promise<void>): Promise<{ cookie: string | null, answers: Answer[] }> {
  const { cookie } = await scene.newSession()
  const traffic = { stopped: false }
  const answering = scene.fromAll(3, async (server) => {
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

export async function assertNothingLost (t: Test, scene: NetworkScene, cookie: string | null, answers: Answer[]): Promise<void> {
  assertClear(t, answers)
  const saved = answers.filter(({ status }) => status === 200).map(({ body }) => body.n)
  t.equal(new Set(saved).size, saved.length, 'no value was given out twice')
  t.ok(saved.every(n => n > 0), 'the session was always found')
  // A save may be stored although its answer got lost, so there may be more.
  const { body } = await scene.works(scene.servers[1], cookie)
  t.ok(body.n > Math.max(...saved), `${body.n} after ${Math.max(...saved)}`)
  t.ok(body.n <= answers.length + 1, `${body.n} after ${answers.length} requests`)
}

function assertClear (t: Test, answers: Answer[]): void {
  const unclear = answers.filter(({ status, body }) => status !== 200 && !CLEAR_ANSWERS.includes(body.code))
  t.same(unclear.map(({ status, body }) => ({ status, body })), [])
  t.ok(slowest(answers) < HANGS, `the slowest took ${slowest(answers)} ms`)
}
