// What is stored comes back as it was.
import assert from 'node:assert/strict'
import type { SessionRecord, Store } from '../../../types/store.js'
import type { ConformanceCase, ConformanceOptions } from '../options.js'
import { HOUR, lock, newKey, numberIn, type StoreCase, storeCases, TestTicket } from './store-scene.js'

const EVERY_BYTE = Uint8Array.from({ length: 256 }, (_, index) => index)

const TEXTS: Record<string, string> = {
  'an empty text': '',
  unicode: JSON.stringify({ ключ: 'žluťoučký 🐎 \u2028\u0000', 日本: 'עברית', e: '👩‍👩‍👧' }),
  'keys that mean something to JavaScript': '{"__proto__":{"isAdmin":true},"constructor":1,"toString":null,"hasOwnProperty":{}}',
  'what means something to other languages': '\'"; DROP TABLE sessions; --\r\n$5\r\n%s %n {{x}} <b> \\0 \\',
  'JSON with its spaces': '{ "n" : 1.0 ,\n "m":\t[ ] }'
}

const BYTES: Record<string, Uint8Array> = {
  'every byte there is': EVERY_BYTE,
  'no bytes': new Uint8Array(0),
  'a part of a larger buffer': Buffer.from('xxhelloxx').subarray(2, 7)
}

const USERS = [null, '', 'u', 'ann', ' two  spaces ', 'Zoë 🦊', 'a'.repeat(300), 'null', '__proto__']

export function recordCases (options: ConformanceOptions): ConformanceCase[] {
  const storeCase = storeCases(options)
  return [
    storeCase('the scope says whom the lock keeps out', async (scene) => {
      const { scope } = await scene.store()
      assert.ok(['process', 'host', 'network'].includes(scope))
      if (scope !== 'process') assert.ok(options.secondConnection !== undefined, 'a store of this scope is tested with the option secondConnection')
    }),

    ...Object.entries(TEXTS).map(([name, data]) => roundTrip(storeCase, name, data)),
    ...Object.entries(BYTES).map(([name, data]) => roundTrip(storeCase, name, data)),

    storeCase('a text stays a text and bytes stay bytes when one replaces the other', async (scene) => {
      const store = await scene.store()
      const key = await scene.stored(store, { data: 'text' })
      for (const data of [EVERY_BYTE, 'text again', EVERY_BYTE]) {
        await save(store, key, scene.record({ data }))
        sameRecord(await store.read(key), scene.record({ data }))
      }
    }),

    storeCase('users come back as they were: nobody, an empty text and a text are three things', async (scene) => {
      const store = await scene.store()
      for (const user of USERS) {
        const key = await scene.stored(store, { user })
        assert.equal((await store.read(key))?.user, user)
        for (const other of USERS) {
          await save(store, key, scene.record({ user: other }))
          assert.equal((await store.read(key))?.user, other)
        }
      }
    }),

    storeCase('times come back to the millisecond', async (scene) => {
      const store = await scene.store()
      const now = scene.clock.now()
      const times = { createdAt: now - 123_456_789, lastAccessedAt: now - 1, expiresAt: now + HOUR + 1 }
      const key = await scene.stored(store, times)
      sameRecord(await store.read(key), scene.record(times))
      const later = { createdAt: now - 5, lastAccessedAt: now + 7, expiresAt: now + 400 * 24 * HOUR + 3 }
      await save(store, key, scene.record(later))
      sameRecord(await store.read(key), scene.record(later))
    }),

    storeCase('the data may grow to 100 kB and shrink again', async (scene) => {
      const store = await scene.store()
      const key = await scene.stored(store, { data: '' })
      const lease = await lock(store, key)
      for (const size of [10, 1_000, 600, 100_000, 5, 40_000, 0, 3_000]) {
        const data = JSON.stringify('é'.repeat(size))
        await lease.save(scene.record({ data, user: `user ${size}` }))
        sameRecord(await store.read(key), scene.record({ data, user: `user ${size}` }))
      }
      await lease.release()
      sameRecord((await lock(store, key)).record, scene.record({ data: JSON.stringify('é'.repeat(3_000)), user: 'user 3000' }))
    }),

    storeCase('create() refuses a key that exists, and leaves it alone', async (scene) => {
      const [store, second] = await scene.pair()
      const key = await scene.stored(store, { data: '{"n":1}', user: 'ann' })
      await assert.rejects(async () => { await store.create(key, scene.record({ data: '{"n":2}' })) })
      await assert.rejects(async () => { await second.create(key, scene.record({ data: '{"n":3}' })) })
      sameRecord(await store.read(key), scene.record({ data: '{"n":1}', user: 'ann' }))
      const lease = await lock(store, key)
      await assert.rejects(async () => { await second.create(key, scene.record({ data: '{"n":4}' })) })
      await lease.release()
      assert.equal(numberIn(await store.read(key)), 1)
    }),

    storeCase('of many that create one key at once, one succeeds', async (scene) => {
      const [store, second] = await scene.pair()
      const key = newKey()
      const results = await Promise.allSettled([store, second, store, second].map(async (either, n) => {
        await either.create(key, scene.record({ data: JSON.stringify({ n }) }))
        return n
      }))
      const created = results.filter(({ status }) => status === 'fulfilled')
      assert.equal(created.length, 1)
      assert.equal(numberIn(await store.read(key)), (created[0] as PromiseFulfilledResult<number>).value)
    }),

    storeCase('sessions do not meet: neighbouring keys have records of their own', async (scene) => {
      const store = await scene.store()
      const base = newKey().slice(0, 63)
      const keys = [...'0123456789abcdef'].map(digit => base + digit)
      for (const [n, key] of keys.entries()) await store.create(key, scene.record({ data: JSON.stringify({ n }) }))
      for (const [n, key] of keys.entries()) assert.equal(numberIn(await store.read(key)), n)
    }),

    storeCase('an unknown key is null, also when it looks strange', async (scene) => {
      const store = await scene.store()
      for (const key of [newKey(), '0'.repeat(64)]) {
        assert.equal(await store.read(key), null)
        assert.equal(await store.acquire(new TestTicket(key)), null)
      }
    }),

    storeCase('an expired session is null, from the very millisecond', async (scene) => {
      const store = await scene.store()
      const read = await scene.stored(store, { expiresAt: scene.clock.now() + HOUR })
      const locked = await scene.stored(store, { expiresAt: scene.clock.now() + HOUR })
      scene.clock.advance(HOUR - 1)
      assert.ok(await store.read(read) !== null)
      await (await lock(store, locked)).release()
      scene.clock.advance(1)
      assert.equal(await store.read(read), null)
      assert.equal(await store.acquire(new TestTicket(locked)), null)
    })
  ]
}

/** Through create() and through save(), read with the lock and without. */
function roundTrip (storeCase: StoreCase, name: string, data: string | Uint8Array): ConformanceCase {
  return storeCase(`${name} comes back as it was`, async (scene) => {
    const [store, second] = await scene.pair()
    const created = await scene.stored(store, { data })
    const saved = await scene.stored(store, { data: 'something else' })
    await save(store, saved, scene.record({ data }))
    for (const key of [created, saved]) {
      sameRecord(await store.read(key), scene.record({ data }))
      sameRecord(await second.read(key), scene.record({ data }))
      const lease = await lock(store, key)
      sameRecord(lease.record, scene.record({ data }))
      await lease.release()
    }
  })
}

async function save (store: Store, key: string, record: SessionRecord): Promise<void> {
  await (await lock(store, key)).save(record, { release: true })
}

/** Bytes may come back as any kind of Uint8Array. */
export function sameRecord (actual: SessionRecord | null, expected: SessionRecord): void {
  assert.ok(actual !== null, 'the session is gone')
  const { data, ...rest } = actual
  const { data: expectedData, ...expectedRest } = expected
  assert.deepEqual({ ...rest }, expectedRest)
  if (typeof expectedData === 'string') {
    assert.equal(data, expectedData)
  } else {
    assert.ok(data instanceof Uint8Array, 'bytes have become a text')
    assert.equal(Buffer.compare(data, expectedData), 0, 'the bytes differ')
  }
}
