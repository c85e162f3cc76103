// When many sessions are asked for at once, the Redis store asks for many of them in one command.
import { Redis } from 'ioredis'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { newKey, numberIn, TestTicket } from '../lib/conformance/store/store-scene.js'
import type { RedisStoreOptions } from '../lib/stores/redis/index.js'
import { codeOf, givesUpInTime, lockAll as lockAllOf, takesFewSteps } from './helpers/crowd.js'
import { skipWithout, startRedis } from './helpers/local-services.js'
import { opened, record } from './helpers/redis-scene.js'

interface Command { readonly keys: string[], readonly args: unknown[] }

t.test('Redis', { skip: skipWithout('redis-server') }, async (t) => {
  const { port } = await startRedis(t, ['--appendfsync', 'no'])

  /** A store with so many sessions, and a look at its commands. `send` may be exchanged. */
  async function crowd (t: Test, sessions: number, options: Omit<RedisStoreOptions, 'client'> = {}, keyPrefix = '') {
    const client = new Redis({ port, keyPrefix })
    t.teardown(() => client.disconnect())
    const evalsha = (client as unknown as { evalshaBuffer: (...args: unknown[]) => Promise<unknown> }).evalshaBuffer.bind(client)
    const watched = {
      client,
      commands: [] as Command[],
      async send (_command: Command, really: () => Promise<unknown>) { return await really() },
      most: () => Math.max(...watched.commands.map(({ keys }) => keys.length))
    }
    Object.assign(client, {
      async evalshaBuffer (sha: string, count: number, ...rest: unknown[]) {
        const command = { keys: rest.slice(0, count) as string[], args: rest.slice(count) }
        watched.commands.push(command)
        return await watched.send(command, () => evalsha(sha, count, ...rest))
      }
    })
    const store = await opened(t, { client, prefix: `${newKey()}:`, ...options })
    const keys = Array.from({ length: sessions }, newKey)
    await Promise.all(keys.map(async key => await store.create(key, record('{"n":0}'))))
    const lockAll = async () => await lockAllOf({ store, keys })
    const numbers = async () => await Promise.all(keys.map(async key => numberIn(await store.read(key))))
    watched.commands.length = 0
    return { watched, store, keys, lockAll, numbers }
  }

  for (const keyPrefix of ['', 'app:']) {
    await t.test(`200 sessions that nobody else wants take less than a quarter of the commands, ${keyPrefix === '' ? 'without' : 'with'} a keyPrefix of the client`, async (t) => {
      const { watched, lockAll, ...sessions } = await crowd(t, 200, {}, keyPrefix)
      const { store } = sessions
      await takesFewSteps(t, sessions, record('{"n":1}'), () => watched.commands.length, {
        count: async () => t.equal(await store.count(), 200),
        destroy: async () => await Promise.all((await lockAll()).map(async lease => await lease.destroy()))
      })
      t.equal(await store.count(), 0)
    })
  }

  await t.test('what fails in a command for many is asked for on its own, and fails for itself', async (t) => {
    const { watched, store, keys, lockAll } = await crowd(t, 60)
    await watched.client.config('SET', 'maxmemory', '1')
    const codes = await Promise.all(keys.map(async key => await codeOf(() => store.acquire(new TestTicket(key)))))
    await watched.client.config('SET', 'maxmemory', '0')
    t.same(new Set(codes), new Set(['FST_SESSION_STORE_UNAVAILABLE']))
    t.ok(watched.most() > 1)
    t.equal(new Set(watched.commands.filter(({ keys }) => keys.length === 1).map(({ keys }) => keys[0])).size, 60)
    t.equal((await lockAll()).length, 60)
  })

  await t.test('a large one goes alone', async (t) => {
    const { watched, lockAll, store, keys } = await crowd(t, 60)
    const leases = await lockAll()
    watched.commands.length = 0
    const lengths = keys.map((_key, i) => i % 2 === 0 ? 1000 : 17_000)
    await Promise.all(leases.map(async (lease, i) => await lease.save(record('x'.repeat(lengths[i]!)), { release: true })))
    const longest = (commands: Command[]) => Math.max(...commands.flatMap(({ args }) => args.map(arg => String(arg).length)))
    t.equal(longest(watched.commands.filter(({ keys }) => keys.length > 1)), 1000)
    t.same(await Promise.all(keys.map(async key => (await store.read(key))!.data.length)), lengths)
  })

  await t.test('a command for many that is sent twice counts once', async (t) => {
    const { watched, lockAll, numbers } = await crowd(t, 60)
    watched.send = async (_command, really) => {
      await really()
      return await really()
    }
    for (let n = 1; n <= 3; n++) {
      const leases = await lockAll()
      t.same(new Set(leases.map(({ record }) => numberIn(record))), new Set([n - 1]))
      await Promise.all(leases.map(async lease => await lease.save(record(`{"n":${n}}`), { release: true })))
    }
    t.ok(watched.most() > 1)
    t.same(new Set(await numbers()), new Set([3]))
  })

  await t.test('scripts that the server has forgotten are sent again', async (t) => {
    const { watched, lockAll, numbers } = await crowd(t, 60)
    await watched.client.script('FLUSH')
    const leases = await lockAll()
    await watched.client.script('FLUSH')
    await Promise.all(leases.map(async lease => await lease.save(record('{"n":1}'), { release: true })))
    t.ok(watched.most() > 1)
    t.same(new Set(await numbers()), new Set([1]))
  })

  await t.test('a server that takes keys of one slot only is asked for one session at a time from then on', async (t) => {
    const { watched, lockAll, numbers } = await crowd(t, 60)
    watched.send = async ({ keys }, really) => {
      if (keys.length > 1) throw new Error("CROSSSLOT Keys in request don't hash to the same slot")
      return await really()
    }
    for (let n = 1; n <= 2; n++) {
      const leases = await lockAll()
      await Promise.all(leases.map(async lease => await lease.save(record(`{"n":${n}}`), { release: true })))
      if (n === 1) {
        t.ok(watched.most() > 1)
        watched.commands.length = 0
      }
    }
    t.equal(watched.most(), 1)
    t.same(new Set(await numbers()), new Set([2]))
  })

  await t.test('S6 nobody waits longer than the timeout, and a lock that comes later is given back', async (t) => {
    const { watched, ...sessions } = await crowd(t, 200, { timeout: 2000, lease: 60_000 })
    let sent = 0
    await givesUpInTime(t, sessions, { atOnce: 2, sent: 102 }, {
      begin (ms) {
        watched.send = async ({ keys, args }, really) => {
          // Only acquire says how large a record may be, and whether it listens.
          if (args.includes('l') || args.includes('d')) {
            sent += keys.length
            await sleep(ms)
          }
          return await really()
        }
      },
      end () { watched.send = async (_command, really) => await really() },
      sent: () => sent
    })
  })
})
