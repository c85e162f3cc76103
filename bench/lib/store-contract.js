// The only lines of the benchmarks that touch the contract between the plugin and its stores
// (types/store.ts): if that moves, this file follows and nothing else.

const NEVER_CONTENDED = {
  deadline: Infinity,
  maxHold: 60_000,
  method: 'GET',
  route: '/bench',
  wake () {}
}

/** Resolves to the store, opened. */
export async function openStore (store) {
  const log = { debug () {}, warn: complain, error: complain }
  await store.open?.({ now: Date.now, maxRecordSize: 1 << 20, log })
  return store
}

function complain (details, message) {
  console.error(message, details)
}

/** Stores a session that expires at `expiresAt`; answers at once if the store does. */
export function createSession (store, key, data, expiresAt) {
  const now = Date.now()
  return store.create(key, { data, createdAt: now, lastAccessedAt: now, expiresAt, user: null })
}

/** Locks and loads, `change(data)`, saves and unlocks; answers at once if the store does. */
export function cycle (store, key, change) {
  const lease = store.acquire({ key, ...NEVER_CONTENDED })
  return isPromise(lease) ? lease.then((lease) => saveAndRelease(lease, change)) : saveAndRelease(lease, change)
}

function saveAndRelease (lease, change) {
  if (lease?.outcome !== 'granted') throw new Error(`expected a lease, got ${lease?.outcome ?? lease}`)
  const { data, createdAt, expiresAt, user } = lease.record
  return lease.save({ data: change(data), createdAt, lastAccessedAt: Date.now(), expiresAt, user }, { release: true })
}

export function isPromise (value) {
  return typeof value?.then === 'function'
}
