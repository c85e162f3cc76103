// L6, L7, S1, S2, I3 over a network: processes that hold the lock, or wait for it, are killed, frozen or told to leave.
import type { Test } from 'tap'
import { counted, type NetworkScene, SLACK, slowest, until, untilListed, upTo } from './network-scene.js'

export interface ProcessFaultOptions {
  /** After so many ms at most, the lock of a dead holder is free. */
  lease: number
  /** After so many ms at most, a lock that was handed to a dead process is free; 0: the store hands over to nobody. */
  claim: number
}

/** So much later than its lease the lock of a dead process goes to the next, at most. In ms. */
const SOON = 1000

export function processFaults (t: Test, scene: NetworkScene, { lease, claim }: ProcessFaultOptions): void {
  const { servers } = scene
  const [first, second, third] = servers

  t.test('L6: when the holder is killed, the next one runs within its lease and a second', async (t) => {
    const { cookie } = await scene.newSession(2)
    const victim = await scene.start()
    const lost = victim.visitor(cookie).post('/increment?work=60000').catch(error => error.code)
    await until(victim, 'held', 1)
    const waiting = [first, first, second].map(async server => await server.visitor(cookie).post('/increment'))
    await until(first, 'waiting', 2)
    await until(second, 'waiting', 1)
    const killed = performance.now()
    await victim.kill()
    await Promise.race(waiting)
    const took = performance.now() - killed
    t.comment(`the next one had run ${Math.round(took)} ms after the kill; the lease is ${lease}`)
    t.ok(took < lease + SOON, `after ${took} ms`)
    t.same(counted(await Promise.all(waiting)), [3, 4, 5])
    t.equal(await lost, 'ECONNRESET')
  })

  t.test('L6: when one is killed to whom the lock was just handed, the next one runs within the claim and a second', async (t) => {
    const { cookie } = await scene.newSession()
    const victim = await scene.start()
    const slow = first.visitor(cookie).post('/increment?work=1000')
    await until(first, 'held', 1)
    const lost = victim.visitor(cookie).post('/increment').catch(error => error.code)
    await untilListed(victim, 1)
    const next = second.visitor(cookie).post('/increment')
    await until(second, 'waiting', 1)
    await victim.freeze()
    t.equal((await slow).body.n, 1)
    const released = performance.now()
    if (claim > 0) t.equal((await second.call('stats')).locks.waiting, 1, 'it was not handed to the next one')
    await victim.kill()
    t.equal((await next).body.n, 2)
    const took = performance.now() - released
    t.comment(`the next one had run ${Math.round(took)} ms after the release; the claim is ${claim}`)
    t.ok(took < claim + SOON, `after ${took} ms`)
    t.equal(await lost, 'ECONNRESET')
  })

  t.test('L7: who is killed while it waits is skipped, and the others get their turn', async (t) => {
    const { cookie } = await scene.newSession()
    const victim = await scene.start()
    const slow = first.visitor(cookie).post('/increment?work=1000')
    await until(first, 'held', 1)
    const lost = victim.visitor(cookie).post('/increment').catch(error => error.code)
    await untilListed(victim, 1)
    const waiting = [second, third].map(async server => await server.visitor(cookie).post('/increment'))
    await until(second, 'waiting', 1)
    await until(third, 'waiting', 1)
    await victim.kill()
    t.equal((await slow).body.n, 1)
    const released = performance.now()
    await Promise.race(waiting)
    const took = performance.now() - released
    t.ok(took < claim + SOON, `after ${took} ms`)
    t.same(counted(await Promise.all(waiting)), [2, 3])
    t.equal(await lost, 'ECONNRESET')
  })

  t.test('S1: who was frozen for longer than its lease cannot save over what others wrote', async (t) => {
    const { cookie } = await scene.newSession()
    const frozen = await scene.start()
    const late = frozen.visitor(cookie).post('/increment?work=500')
    await until(frozen, 'held', 1)
    await frozen.freeze()
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
    const { cookie } = await scene.newSession(3)
    const { waiting, answered } = await scene.behind('/destroy?work=1000', cookie)
    t.equal(answered.status, 200)
    for (const { status, body } of waiting) t.same({ status, body }, { status: 200, body: { found: false } })
    for (const server of servers) t.same((await server.visitor(cookie).get('/peek')).body, { found: false })
  })

  t.test('I3: those who wait in other processes follow regenerate(true), or are refused', async (t) => {
    const { cookie } = await scene.newSession(3)
    const { waiting, answered } = await scene.behind('/regenerate?keep=true&work=1000', cookie)
    t.equal(answered.body.n, 4)
    const followed = waiting.filter(({ status }) => status === 200)
    for (const { status, body } of waiting) if (status !== 200) t.same([status, body.code], [409, 'FST_SESSION_CONFLICT'])
    t.same(counted(followed), upTo(followed.length).map(n => n + 4))
    t.ok(waiting.every(answer => answer.cookie === null), 'the new id is not given to them')
    t.equal((await second.visitor(answered.cookie).get('/peek')).body.n, 4 + followed.length)
    for (const server of servers) t.same((await server.visitor(cookie).get('/peek')).body, { found: false })
  })

  t.test('L6: a process that gets SIGTERM passes the lock on, and those who wait elsewhere are served', async (t) => {
    const { cookie } = await scene.newSession()
    const leaving = await scene.start()
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
    const values = counted(answers)
    t.equal(new Set(values).size, 2)
    t.ok((await first.visitor(cookie).get('/peek')).body.n >= Math.max(...values))
  })
}
