// How long locks of the Redis store last: heartbeat, maxHold, claims. And options, sizes, and what is left in Redis.
import { Redis } from 'ioredis'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { within } from '../lib/conformance/patience.js'
import { askInVain, granted, lock, newKey, TestTicket, waitFor } from '../lib/conformance/store/store-scene.js'
import { RedisStore, type RedisStoreOptions } from '../lib/stores/redis/index.js'
import { skipWithout, startRedis } from './helpers/local-services.js'
import { context, opened, record } from './helpers/redis-scene.js'

const skip = skipWithout('redis-server')

class ShortTicket extends TestTicket {
  override readonly maxHold = 300 as 60_000
}

async function scene (t: Test, options: Partial<RedisStoreOptions> = {}): Promise<{ client: Redis, first: RedisStore, second: RedisStore, key: string }> {
  const client = new Redis({ port: (await startRedis(t)).port })
  t.teardown(() => client.disconnect())
  const first = await opened(t, { client, ...options })
  const second = await opened(t, { client, ...options })
  const key = newKey()
  await first.create(key, record('0'))
  return { client, first, second, key }
}

/** When the lease ends, on the clock of the server, in ms. */
async function leaseEnd (client: Redis, key: string): Promise<number> {
  return Number((await client.hget(`session:{${key}}`, 'l'))!.split(/\s/)[1])
}

t.test('L6 a heartbeat keeps a lock for longer than its lease', { skip }, async (t) => {
  const { client, first, second, key } = await scene(t, { lease: 600 })
  const held = await lock(first, key)
  const end = await leaseEnd(client, key)
  while (await leaseEnd(client, key) < end + 1000) await sleep(20)
  await askInVain(second, key)
  await held.save(record('1'), { release: true })
  t.equal((await second.read(key))?.data, '1')
})

t.test('L6 no heartbeat keeps a lock for longer than maxHold; the late save is refused', { skip }, async (t) => {
  const { first, second, key } = await scene(t)
  const late = await lock(first, key, new ShortTicket(key))
  const next = granted(await within('to get the lock', waitFor(second, new TestTicket(key))))
  await next.save(record('1'), { release: true })
  await t.rejects(late.save(record('late')) as Promise<void>, { code: 'FST_SESSION_LOCK_LOST' })
  await late.release()
  t.equal((await second.read(key))?.data, '1')
})

t.test('L6 who is given the lock but does not come loses its turn after `claim`, not after `lease`', { skip }, async (t) => {
  const { first, second, key } = await scene(t, { lease: 120_000, claim: 400 })
  const held = await lock(first, key)
  const absent = await askInVain(second, key)
  const waiting = waitFor(first, new TestTicket(key))
  await held.save(record('1'), { release: true })
  const next = granted(await within('to get the lock', waiting))
  t.equal(next.record.data, '1')
  t.equal((await second.acquire(absent))?.outcome, 'busy', 'the message that it had got the lock is too old')
  await next.save(record('2'), { release: true })
  t.equal(granted(await waitFor(second, absent)).record.data, '2')
})

t.test('L6 who comes late, when nobody else has come, has the lock', { skip }, async (t) => {
  const { client, first, second, key } = await scene(t, { claim: 200 })
  const held = await lock(first, key)
  const absent = await askInVain(second, key)
  await held.release()
  const end = await leaseEnd(client, key)
  while (Date.now() <= end) await sleep(20)
  granted(await second.acquire(absent))
  await askInVain(first, key)
})

t.test('L8 how long the lock is held is told as of the moment of the report, not of the last answer', { skip }, async (t) => {
  const { first, second, key } = await scene(t)
  const held = await lock(first, key)
  held.describe!()
  const ticket = await askInVain(second, key)
  const holder = async () => {
    const answer = await second.acquire(ticket)
    return answer?.outcome === 'busy' ? answer.holder : undefined
  }
  while ((await holder())?.() === null) await sleep(20)
  const tell = await holder()
  await sleep(300)
  t.match(tell?.(), { method: ticket.method, route: ticket.route })
  t.ok(tell!()!.heldFor >= 295, String(tell!()!.heldFor))
})

t.test('a session too large for a message is handed over as well', { skip }, async (t) => {
  const { first, second, key } = await scene(t)
  const data = 'x'.repeat(100_000)
  const held = await lock(first, key)
  const ticket = await askInVain(second, key)
  const told = ticket.woken(10_000)
  await held.save(record(data), { release: true })
  await told
  t.equal(granted(await second.acquire(ticket)).record.data, data)
})

t.test('bytes and a name of more than ASCII come back as they were: loaded, handed over, and after a touch', { skip }, async (t) => {
  const { first, second, key } = await scene(t)
  const stored = { ...record(''), data: Buffer.from([0, 10, 255, 195, 10, 13, 0, 128]), user: 'Zoë\n€' }
  const held = await lock(first, key)
  const waiting = await askInVain(second, key)
  const told = waiting.woken(10_000)
  await held.save(stored, { release: true })
  await told
  const next = granted(await second.acquire(waiting))
  t.same(next.record, stored)
  const times = { lastAccessedAt: stored.lastAccessedAt + 5, expiresAt: stored.expiresAt + 5 }
  await next.touch(times, { release: true })
  t.same((await lock(first, key)).record, { ...stored, ...times })
})

t.test('I8 a record that is too large is refused on load, and its lock is free', { skip }, async (t) => {
  const { client, first, key } = await scene(t)
  const strict = new RedisStore({ client })
  await strict.open({ ...context, maxRecordSize: 1000 })
  t.teardown(() => strict.close())
  await (await lock(first, key)).save(record('x'.repeat(1001)), { release: true })
  await t.rejects(strict.read(key), { code: 'FST_SESSION_TOO_LARGE' })
  await t.rejects(async () => await strict.acquire(new TestTicket(key)), { code: 'FST_SESSION_TOO_LARGE' })
  await (await lock(first, key)).save(record('x'.repeat(1000)), { release: true })
  t.equal(granted(await strict.acquire(new TestTicket(key))).record.data.length, 1000)
})

t.test('wrong options are refused at once', async (t) => {
  const client = new Redis({ lazyConnect: true })
  const wrong: object[] = [
    {}, { client: null }, { client: {} }, { client: 'redis://127.0.0.1' }, { client, prefix: 'a{b' }, { client, prefix: 1 },
    { client, lease: 0 }, { client, lease: Infinity }, { client, claim: '1s' }, { client, timeout: -1 }, { client, ttl: 60 }
  ]
  for (const options of wrong) {
    t.throws(() => new RedisStore(options as RedisStoreOptions), { code: 'FST_SESSION_INVALID_OPTION' }, Object.keys(options).join())
  }
})

t.test('a session is one key; it ends with the session, and what a destroyed one leaves after a minute', { skip }, async (t) => {
  const { client, first, second, key } = await scene(t)
  const held = await lock(first, key)
  await askInVain(second, key)
  t.same(await client.keys('*'), [`session:{${key}}`])
  const left = await client.pttl(`session:{${key}}`)
  t.ok(left > 55_000 && left < 80_000, `${left} ms`)
  await held.destroy({ movedTo: newKey() })
  t.equal(await first.count(), 0)
  t.same(await client.keys('*'), [`session:{${key}}`])
  const after = await client.pttl(`session:{${key}}`)
  t.ok(after > 0 && after <= 60_000, `${after} ms`)
})

t.test('S2 a session does not end before the lease of its holder, also when the holder has saved', { skip }, async (t) => {
  const { client, first } = await scene(t, { lease: 120_000 })
  const key = newKey()
  const left = async (): Promise<number> => await client.pttl(`session:{${key}}`)
  const shortLived = { ...record('0'), expiresAt: Date.now() + 5000 }
  await first.create(key, shortLived)
  t.ok(await left() < 20_000)
  const held = await lock(first, key)
  t.ok(await left() > 55_000, 'maxHold of the ticket is a minute')
  await held.save(shortLived)
  t.ok(await left() > 55_000)
  await held.touch(shortLived)
  t.ok(await left() > 55_000)
  await held.save(shortLived, { release: true })
  t.ok(await left() < 20_000)
})

t.test('however often a process saves, it leaves one id of a write', { skip }, async (t) => {
  const { client, first, second, key } = await scene(t)
  const lengths = []
  for (let i = 0; i < 20; i++) {
    await (await lock(i % 2 === 0 ? first : second, key)).save(record(String(i)), { release: true })
    lengths.push(await client.hstrlen(`session:{${key}}`, 'p'))
  }
  t.ok(Math.max(...lengths) < 60, lengths.join(' '))
})

t.test('the keyPrefix of a client stands before the prefix, and nobody else is found', { skip }, async (t) => {
  const { port } = await startRedis(t)
  const plain = new Redis({ port })
  const client = new Redis({ port, keyPrefix: 'app*:' })
  t.teardown(() => { plain.disconnect(); client.disconnect() })
  const [first, second, stranger] = [await opened(t, { client }), await opened(t, { client }), await opened(t, { client: plain, prefix: 'app-other:session:' })]
  const key = newKey()
  await first.create(key, record('0'))
  await stranger.create(newKey(), record('not ours'))
  t.ok((await plain.keys('*')).includes(`app*:session:{${key}}`))
  const held = await lock(first, key)
  const ticket = await askInVain(second, key)
  const told = ticket.woken(10_000)
  await held.save(record('1'), { release: true })
  await told
  t.equal(ticket.wakes, 1)
  await granted(await second.acquire(ticket)).release()
  const found = []
  for await (const [key] of second.entries()) found.push(key)
  t.same(found, [key])
})
