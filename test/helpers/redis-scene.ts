// What tests of the Redis store work with: stores that are open, and records.
import type { Test } from 'tap'
import type { SessionRecord } from '../../lib/index.js'
import { RedisStore, type RedisStoreOptions } from '../../lib/stores/redis/index.js'

export const context = { now: Date.now, maxRecordSize: 1024 * 1024, log: { debug () {}, warn () {}, error () {} } }

/** A record that lives for a minute. */
export function record (data: string): SessionRecord {
  const now = Date.now()
  return { data, user: null, createdAt: now, lastAccessedAt: now, expiresAt: now + 60_000 }
}

/** A store that is open, until the test ends. */
export async function opened (t: Test, options: RedisStoreOptions): Promise<RedisStore> {
  const store = new RedisStore(options)
  await store.open(context)
  t.teardown(() => store.close())
  return store
}
