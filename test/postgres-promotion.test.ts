// A standby of PostgreSQL takes over without the last writes. What was lost is lost; nothing is mixed with it.
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import sessionPlugin from '../lib/index.js'
import { PostgresStore } from '../lib/stores/postgres/index.js'
import { skipWithout } from './helpers/local-services.js'
import { PostgresPair } from './helpers/postgres-pair.js'
import { newKey, newPool, opened, record, Waiting, waitFor } from './helpers/postgres-scene.js'

const lease = 2000
const data = (value: string) => record({ data: value })
const save = async (store: PostgresStore, key: string, value: string) =>
  await (await waitFor(store, new Waiting(key))).save(data(value), { release: true })

t.test('a standby of PostgreSQL takes over', { skip: skipWithout('postgres', 'initdb', 'pg_basebackup') }, async (t) => {
  await t.test('S1: whoever had loaded what was lost, or held a lock that was lost, is refused', async (t) => {
    const pair = await PostgresPair.start(t)
    const store = await opened(t, { pool: newPool(t, pair), lease })
    const other = await opened(t, { pool: newPool(t, pair), lease })
    const stored = async () => {
      const key = newKey()
      await store.create(key, data('first'))
      return key
    }
    const [unlocked, saved, taken, handedOver, kept, created] = [await stored(), await stored(), await stored(), await stored(), await stored(), newKey()]
    // The standby still believes in these two.
    const former = await waitFor(store, new Waiting(handedOver))
    const keeper = await waitFor(store, new Waiting(kept))
    await pair.replicated()
    await pair.stopReplication()

    await save(store, unlocked, 'lost')
    const onLost = await waitFor(store, new Waiting(unlocked))
    await save(store, saved, 'lost')
    const onNumberTwo = await waitFor(store, new Waiting(saved))
    const lockLost = await waitFor(store, new Waiting(taken))
    const next = waitFor(other, new Waiting(handedOver))
    await former.save(data('lost'), { release: true })
    const latter = await next
    t.equal(latter.record.data, 'lost')
    await store.create(created, data('lost'))
    const onCreated = await waitFor(store, new Waiting(created))
    await pair.failOver()

    const refused = async (write: unknown) => { await t.rejects(write as Promise<void>, { code: 'FST_SESSION_LOCK_LOST' }) }
    await refused(onLost.save(data('mixed')))
    t.equal((await store.read(unlocked))?.data, 'first')
    // Both servers have seen two versions of it now: a number would be the same.
    await save(other, saved, 'second')
    await refused(onNumberTwo.save(data('mixed'), { release: true }))
    t.equal((await store.read(saved))?.data, 'second')
    const holder = await waitFor(other, new Waiting(taken))
    await refused(lockLost.save(data('mixed'), { release: true }))
    await refused(lockLost.destroy())
    await holder.save(data('second'), { release: true })
    t.equal((await store.read(taken))?.data, 'second')
    await refused(latter.save(data('mixed'), { release: true }))
    await refused(onCreated.save(data('mixed')))
    t.equal(await store.read(created), null)
    // Its lock and what it had loaded are still there.
    await keeper.save(data('second'), { release: true })
    t.equal((await store.read(kept))?.data, 'second')
    // Nobody keeps alive the lock that the standby believes in.
    const free = await waitFor(other, new Waiting(handedOver))
    t.equal(free.record.data, 'first')
    await free.release()
  })

  await t.test('L8, S6: under the plugin every request ends clearly, and each acknowledged one afterwards counts', async (t) => {
    const pair = await PostgresPair.start(t)
    const apps = [await newApp(t, pair), await newApp(t, pair)] as const
    const first = await apps[0].app.inject('/add')
    const cookie = String(first.headers['set-cookie']).split(';')[0]!
    const add = async (n: number) => await apps[n % 2]!.app.inject({ url: '/add', headers: { cookie } })
    for (let n = 2; n <= 5; n++) t.equal((await add(n)).json().n, n)
    await pair.replicated()
    await pair.stopReplication()
    for (let n = 6; n <= 8; n++) t.equal((await add(n)).json().n, n)
    const stale = apps[0].app.inject({ url: '/slow', headers: { cookie } })
    await apps[0].entered
    const waiting = Array.from({ length: 8 }, async (_, n) => await add(n))
    await waitersOf(apps[0].app, 4)
    await waitersOf(apps[1].app, 4)
    await pair.failOver()
    apps[0].open()
    t.match((await stale).json(), { statusCode: 409, code: 'FST_SESSION_LOCK_LOST' })
    const answers = await Promise.all(waiting)
    for (let tries = 0; tries < 50; tries++) {
      answers.push(await add(0), await add(1))
      if (answers.slice(-2).every(({ statusCode }) => statusCode === 200)) break
      await sleep(100)
    }
    const counted = answers.filter(({ statusCode }) => statusCode === 200).map(answer => answer.json().n).sort((a, b) => a - b)
    t.ok(counted.length >= 2, 'it works again')
    t.same(counted, counted.map((_, i) => 6 + i))
    for (const answer of answers.filter(({ statusCode }) => statusCode !== 200)) {
      t.ok(['FST_SESSION_STORE_UNAVAILABLE', 'FST_SESSION_LOCK_TIMEOUT', 'FST_SESSION_LOCK_LOST'].includes(answer.json().code), answer.body)
    }
  })
})

async function newApp (t: Test, { port }: PostgresPair) {
  const app = Fastify()
  t.teardown(() => app.close())
  const pool = newPool(t, { port })
  await app.register(sessionPlugin, { store: new PostgresStore({ pool, lease }), cleanupInterval: 0 })
  let entered = () => {}
  let open = () => {}
  const inside = new Promise<void>((resolve) => { entered = resolve })
  const gate = new Promise<void>((resolve) => { open = resolve })
  const add = (session: { get (key: string, otherwise: number): unknown, set (key: string, value: number): unknown }) => {
    const n = Number(session.get('n', 0)) + 1
    session.set('n', n)
    return { n }
  }
  app.get('/add', async ({ session }) => add(session))
  app.get('/slow', async ({ session }) => {
    const answer = add(session)
    entered()
    await gate
    return answer
  })
  await app.ready()
  return { app, entered: inside, open }
}

async function waitersOf (app: Awaited<ReturnType<typeof newApp>>['app'], count: number): Promise<void> {
  for (const end = performance.now() + 10_000; app.sessions.stats().locks.waiting < count && performance.now() < end;) await sleep(10)
}
