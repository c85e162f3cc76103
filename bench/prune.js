import { randomBytes } from 'node:crypto'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { FileStore } from 'fastify-locked-session/file'
import { withFolder } from './lib/folder.js'
import { main } from './lib/main.js'
import { createSession, isPromise, openStore } from './lib/store-contract.js'

const COUNT = 1_000_000
const LIVE = 1000
const HOUR = 60 * 60 * 1000
const RESOLUTION = 1

async function fill (store, count, lifetime) {
  const data = JSON.stringify({ user: 'somebody', cart: [1, 2, 3], padding: 'x'.repeat(150) })
  for (let i = 0; i < count; i++) {
    const pending = createSession(store, randomBytes(32).toString('hex'), data, Date.now() + lifetime)
    if (isPromise(pending)) await pending
  }
}

/** Runs `fn`; resolves to its result, how long it took and the longest time the event loop stood still (ms). */
async function watch (fn) {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION })
  delay.enable()
  await sleep(20) // the first ticks are its own
  delay.reset()
  await sleep(20) // after a reset it needs one tick to measure from
  const begin = performance.now()
  const result = await fn()
  const took = performance.now() - begin
  await sleep(20) // a block that ends with fn is seen at the next tick
  delay.disable()
  return { result, took, longest: delay.max / 1e6 - RESOLUTION, p99: delay.percentile(99) / 1e6 - RESOLUTION }
}

await main((argument) => withFolder(async (folder) => {
  const count = argument === undefined ? COUNT : Number(argument)
  const store = await openStore(new FileStore({ directory: folder }))
  const begin = performance.now()
  await fill(store, LIVE, HOUR)
  await fill(store, count, 100)
  await sleep(1000)
  console.log(`created ${count} sessions that have expired and ${LIVE} that live in ${((performance.now() - begin) / 1000).toFixed(1)} s`)

  const { result, took, longest, p99 } = await watch(() => store.prune())
  console.log(`prune() took ${(took / 1000).toFixed(2)} s, deleted ${result.deleted}, left ${result.remaining}; ` +
    `event loop blocked ${longest.toFixed(1)} ms at most, p99 ${p99.toFixed(1)} ms`)
  if (result.deleted !== count || result.remaining !== LIVE) throw new Error('prune() deleted the wrong sessions')
  await store.close?.()

  const seconds = took / 1000
  const name = `prune ${count} expired sessions`
  return [
    // the target is for a million; fewer sessions have less time
    { name: `${name}: time`, requestsPerSecond: count / seconds, check: { ratio: seconds, atMost: 15 * count / COUNT, unit: ' s' } },
    { name: `${name}: longest event loop block`, check: { ratio: longest, atMost: 20, unit: ' ms' } }
  ]
}))
