// The memory store in the conformance suites, as it is and behind a network that takes its time.
import Fastify from 'fastify'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { type ConformanceOptions, httpConformance, storeConformance } from '../lib/conformance/index.js'
import { lock } from '../lib/conformance/store/store-scene.js'
import sessionPlugin, { type Ticket } from '../lib/index.js'
import { MemoryStore } from '../lib/stores/memory.js'
import { AwaitedStore } from './helpers/awaited-store.js'

const WAYS: Record<string, ConformanceOptions> = {
  'answering at once': { createStore: () => new MemoryStore() },
  'answering later': { createStore: () => new AwaitedStore(new MemoryStore(), async () => { await nextTurn() }) }
}

for (const [way, options] of Object.entries(WAYS)) {
  t.test(`${way}, as a store`, async (t) => {
    for (const { name, run } of storeConformance(options)) t.test(name, run)
  })

  t.test(`${way}, under the plugin`, async (t) => {
    for (const { name, run } of httpConformance(options)) t.test(name, run)
  })
}

t.test('options that are unknown or wrong are named', async (t) => {
  for (const max of [0, -1, 1.5, NaN, Infinity, '5']) {
    t.throws(() => new MemoryStore({ max: max as number }), { code: 'FST_SESSION_INVALID_OPTION', message: /"max"/ }, String(max))
  }
  t.throws(() => new MemoryStore({ maximum: 5 } as object), { code: 'FST_SESSION_INVALID_OPTION', message: /"maximum"/ })
})

t.test('beyond max the session that was unused for longest goes, but never a locked one', async (t) => {
  const store = new MemoryStore({ max: 3 })
  const now = Date.now()
  const record = (n: number) => ({ data: String(n), createdAt: now, lastAccessedAt: now + n, expiresAt: now + 60_000, user: null })
  const live = (...keys: string[]) => keys.filter(key => store.read(key) !== null).join('')
  for (const key of ['a', 'b', 'c']) store.create(key, record(0))
  const locked = await lock(store, 'a')
  await (await lock(store, 'b')).touch({ lastAccessedAt: now + 1, expiresAt: now + 60_000 }, { release: true })
  store.create('d', record(1))
  t.equal(live('a', 'b', 'c', 'd'), 'abd', 'a is locked, b was used')
  await locked.save(record(2), { release: true })
  store.create('e', record(2))
  t.equal(live('a', 'b', 'c', 'd', 'e'), 'ade', 'a was saved since')
  const leases = [await lock(store, 'a'), await lock(store, 'd'), await lock(store, 'e')]
  store.create('f', record(3))
  t.equal(live('a', 'd', 'e', 'f'), 'adef', 'all are locked, so there is one more for a while')
  for (const lease of leases) await lease.release()
})

t.test('I3 whom the store has seen waiting follows a regenerated session, even if the time of the move is inexact', async (t) => {
  const store = new MemoryStore()
  // As over a network with a wrong clock: it seems to have moved before anybody waited.
  class Inexact extends AwaitedStore {
    override async acquire (ticket: Ticket) {
      const answer = await super.acquire(ticket)
      return answer?.outcome === 'moved' ? { ...answer, movedAt: 0 } : answer
    }
  }
  const inexact = new Inexact(store, async () => {})
  const apps = [Fastify(), Fastify()] as const
  for (const [n, app] of apps.entries()) await app.register(sessionPlugin, { store: n === 0 ? store : inexact })
  t.teardown(async () => { for (const app of apps) await app.close() })
  const waiting = { begun: () => {} }
  for (const app of apps) app.get('/', async ({ session }) => session.set('n', session.get('n', 0) as number + 1).data())
  apps[0].get('/regenerate', async ({ session }) => {
    await new Promise<void>(resolve => { waiting.begun = resolve })
    await session.regenerate(true)
    return ''
  })
  const cookies = { sessionId: (await apps[0].inject('/')).cookies[0]!.value }
  const regenerated = apps[0].inject({ url: '/regenerate', cookies })
  while (apps[0].sessions.stats().locks.held === 0) await sleep(5)
  const followed = apps[1].inject({ url: '/', cookies })
  while (apps[1].sessions.stats().locks.waiting === 0) await sleep(5)
  waiting.begun()
  await regenerated
  t.same((await followed).json(), { n: 2 })
})

t.test('every rule has a case of its own, and no two cases have one name', async (t) => {
  const options = { createStore: () => new MemoryStore() }
  const rules = ['L', 'S', 'I'].flatMap(letter => Array.from({ length: 8 }, (_, index) => `${letter}${index + 1}`)).concat('C1', 'C2')
  const names = httpConformance(options).map(({ name }) => name)
  for (const rule of rules) t.ok(names.some(name => name.startsWith(`${rule} `)), rule)
  t.same(names.filter(name => !rules.includes(name.split(' ')[0]!)), [])
  for (const all of [names, storeConformance(options).map(({ name }) => name)]) t.equal(new Set(all).size, all.length)
})
