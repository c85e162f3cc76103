// L1, L4, L7 over a network: several processes take turns at one session, and what that costs at the server.
import type { Test } from 'tap'
import { counted, type NetworkScene, SLACK, slowest, upTo } from './network-scene.js'

export interface TurnsOptions {
  /** So many commands (statements, packets) may a contended request cost, on average. Absent: they are not counted. */
  cost?: number
}

export function turnCases (t: Test, scene: NetworkScene, { cost }: TurnsOptions = {}): void {
  const { servers, critical } = scene
  const [first] = servers

  for (const route of ['/increment', '/section']) {
    t.test(`L1, L4: a counter stays exact in four processes (${route})`, async (t) => {
      const { cookie } = await scene.newSession()
      const name = `exact${route.slice(1)}`
      const answers = await scene.fromAll(3, async (server) => {
        const answers = []
        for (let i = 0; i < 25; i++) answers.push(await server.visitor(cookie).post(`${route}?section=${name}`))
        return answers
      })
      t.same(counted(answers.flat()), upTo(300))
      t.equal((await first.visitor(cookie).get('/peek')).body.n, 300)
      t.equal(critical.stays(name).length, 300)
      t.equal(critical.overlaps, 0)
    })
  }

  t.test('L7: of twenty requests in four processes all are served, at a bounded cost, and each process gets its share', async (t) => {
    const { cookie } = await scene.newSession()
    const costs = []
    for (let run = 0; run < 5; run++) {
      const before = await sent()
      const answers = await scene.fromAll(5, async server => await server.visitor(cookie).post('/increment?section=twenty&work=10'))
      costs.push((await sent() - before) / 20)
      t.same(counted(answers), upTo(20).map(n => n + 20 * run))
      t.ok(slowest(answers) < SLACK, `the slowest took ${slowest(answers)} ms`)
    }
    const [, , median] = costs.sort((a, b) => a - b)
    if (cost !== undefined) {
      t.comment(`a contended request costs ${median}: ${costs.join(', ')}`)
      t.ok(median! >= 1 && median! <= cost, `${median} for each request`)
    }

    let begun = 0
    await scene.fromAll(3, async (server) => {
      while (begun++ < 300) await server.visitor(cookie).post('/increment?section=share&work=2')
    })
    const shares = new Map<number, number>()
    for (const { process } of critical.stays('share')) shares.set(process, (shares.get(process) ?? 0) + 1)
    t.equal(shares.size, 4)
    t.ok(Math.min(...shares.values()) >= 15, `shares of 300: ${[...shares.values()].join(', ')}`)
    t.equal(critical.overlaps, 0)
  })

  /** What the clients of all processes have sent to the database server so far. */
  async function sent (): Promise<number> {
    const counts = await Promise.all(servers.map(async server => (await server.call('stats')).sent))
    return counts.reduce((sum, count) => sum + count, 0)
  }
}
