// When many sessions are asked for at once, the PostgreSQL store asks for many of them in one statement.
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { codeOf, givesUpInTime, lockAll as lockAllOf, takesFewSteps } from './helpers/crowd.js'
import { skipWithout, startPostgres } from './helpers/local-services.js'
import { TcpProxy } from './helpers/tcp-proxy.js'
import { newKey, newPool, opened, record, Waiting, WatchedPool, waitFor } from './helpers/postgres-scene.js'

const isForMany = (text: string) => text.includes('unnest')

let tables = 0

t.test('PostgreSQL', { skip: skipWithout('postgres') }, async (t) => {
  const server = await startPostgres(t, { fsync: 'off' })

  /** A store with so many sessions. */
  async function crowd (t: Test, sessions: number, options: { timeout?: number, lease?: number } = {}, address: { port: number } = server) {
    const table = `together_${tables++}`
    const pool = new WatchedPool(newPool(t, address))
    const store = await opened(t, { pool, table, ...options })
    const keys = Array.from({ length: sessions }, newKey)
    await Promise.all(keys.map(async key => await store.create(key, record())))
    const lockAll = async () => await lockAllOf({ store, keys })
    return { table, pool, store, keys, lockAll }
  }

  await t.test('200 sessions that nobody else wants take less than a quarter of the statements', async (t) => {
    const { pool, lockAll, ...sessions } = await crowd(t, 200)
    await takesFewSteps(t, sessions, record({ data: '{"n":1}' }), () => pool.statements.length)
    await t.test('and their locks are free again', async (t) => { t.equal((await lockAll()).length, 200) })
  })

  await t.test('data over 8 kB go alone', async (t) => {
    const { pool, store, keys, lockAll } = await crowd(t, 60)
    const longest = { many: 0, one: 0 }
    pool.before = (text, values) => {
      const kind = isForMany(text) ? 'many' : 'one'
      for (const value of values.flat()) if (Buffer.isBuffer(value)) longest[kind] = Math.max(longest[kind], value.length)
    }
    const leases = await lockAll()
    const lengths = keys.map((_key, i) => i % 2 === 0 ? 8000 : 9000)
    await Promise.all(leases.map(async (lease, i) => await lease.save(record({ data: 'x'.repeat(lengths[i]!) }), { release: true })))
    t.same(longest, { many: 8000, one: 9000 })
    t.same(await Promise.all(keys.map(async key => (await store.read(key))!.data.length)), lengths)
  })

  await t.test('what PostgreSQL refuses fails alone', async (t) => {
    const { pool, store, keys, lockAll } = await crowd(t, 60)
    const leases = await lockAll()
    const refused = 30
    pool.statements.length = 0
    const codes = await Promise.all(leases.map(async (lease, i) => await codeOf(() => lease.save(record({ data: '{"n":1}', user: i === refused ? 'a\0b' : 'ann' }), { release: true }))))
    t.ok(pool.statements.some(isForMany))
    t.same(codes, keys.map((_key, i) => i === refused ? 'FST_SESSION_STORE_UNAVAILABLE' : 'done'))
    t.same(await Promise.all(keys.map(async key => (await store.read(key))!.user)), keys.map((_key, i) => i === refused ? null : 'ann'))
  })

  await t.test('a session that somebody else is changing holds up no other one', async (t) => {
    const { table, pool, store, keys } = await crowd(t, 60)
    const slow = 30
    const client = await newPool(t, server).connect()
    await client.query('BEGIN')
    await client.query(`SELECT 1 FROM ${table} WHERE key = $1 FOR UPDATE`, [keys[slow]])
    pool.statements.length = 0
    const asked = keys.map(async key => await waitFor(store, new Waiting(key)))
    const others = await Promise.all(asked.filter((_lease, i) => i !== slow))
    t.ok(pool.statements.some(isForMany))
    t.equal(others.length, 59)
    t.equal(await Promise.race([asked[slow], sleep(100, 'it waits')]), 'it waits')
    await client.query('COMMIT')
    client.release()
    await (await asked[slow]!).release()
  })

  await t.test('S6 nobody waits longer than the timeout, and a lock that comes later is given back', async (t) => {
    const { pool, ...sessions } = await crowd(t, 300, { timeout: 2000, lease: 60_000 })
    let together = 0
    await givesUpInTime(t, sessions, { atOnce: 4, sent: 200 }, {
      begin (ms) {
        pool.before = async (text, values) => {
          if (!text.includes('UPDATE') || !text.includes('expires_at > ')) return
          if (isForMany(text)) together += (values[0] as string[]).length
          await sleep(ms)
        }
      },
      end () { pool.before = () => {} },
      sent: () => together
    })
  })

  await t.test('S6 a statement for many whose connection is cut fails for all of them, and leaves no lock', async (t) => {
    const proxy = await TcpProxy.start(t, server.port)
    // Those that were done before the cut are free after their lease.
    const { pool, store, keys } = await crowd(t, 60, { lease: 500 }, proxy)
    pool.before = (text) => {
      if (!isForMany(text)) return
      pool.before = () => {}
      proxy.cut()
    }
    const answers = await Promise.allSettled(keys.map(async key => await store.acquire(new Waiting(key))))
    const failed = keys.filter((_key, i) => answers[i]!.status === 'rejected')
    t.ok(failed.length >= 50, `${failed.length} failed`)
    for (const key of failed) await (await waitFor(store, new Waiting(key))).release()
  })

  await t.test('a statement for many that is sent twice counts once', async (t) => {
    const { pool, store, keys, lockAll } = await crowd(t, 60)
    pool.twice = true
    for (let n = 1; n <= 3; n++) {
      const leases = await lockAll()
      t.same(new Set(leases.map(lease => lease.record.data)), new Set([`{"n":${n - 1}}`]))
      await Promise.all(leases.map(async lease => await lease.save(record({ data: `{"n":${n}}` }), { release: true })))
    }
    t.ok(pool.statements.some(isForMany))
    t.same(new Set((await Promise.all(keys.map(async key => await store.read(key)))).map(found => found!.data)), new Set(['{"n":3}']))
  })
})
