import { randomBytes } from 'node:crypto'
import { closeSync, mkdirSync, openSync, readSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { flockSync } from 'fs-ext'
import { FileStore } from 'fastify-locked-session/file'
import { withFolder } from './lib/folder.js'
import { main } from './lib/main.js'
import { median, spread } from './lib/stats.js'
import { createSession, cycle, isPromise, openStore } from './lib/store-contract.js'

const SIZES = [200, 2000]
const BLOCKS = 400
const WARM_UP = 40
const CYCLES = 250
const HOUR = 60 * 60 * 1000

/** JSON of exactly `size` bytes; the counter keeps its width. */
function session (size) {
  const data = { n: 1_000_000, padding: '' }
  data.padding = 'x'.repeat(size - JSON.stringify(data).length)
  return JSON.stringify(data)
}

function increment (text) {
  const data = JSON.parse(text)
  data.n++
  return JSON.stringify(data)
}

/** The least that a locked update of a file can cost. A crash can tear it, and nothing expires. */
function floor (directory, text) {
  const file = join(directory, 'session')
  const buffer = Buffer.alloc(8192)
  writeFileSync(file, text)
  return function cycle () {
    const fd = openSync(file, 'r+')
    flockSync(fd, 'exnb')
    const size = readSync(fd, buffer, 0, buffer.length, 0)
    const changed = buffer.write(increment(buffer.utf8Slice(0, size)))
    writeSync(fd, buffer, 0, changed, 0)
    closeSync(fd) // unlocks
  }
}

async function stored (directory, text) {
  const store = await openStore(new FileStore({ directory }))
  const key = randomBytes(32).toString('hex')
  await createSession(store, key, text, Date.now() + HOUR)
  return { store, once: () => cycle(store, key, increment), key }
}

/** µs per cycle of one block. */
async function block (once) {
  const begin = performance.now()
  for (let i = 0; i < CYCLES; i++) {
    const pending = once()
    if (isPromise(pending)) await pending
  }
  return (performance.now() - begin) * 1000 / CYCLES
}

async function measure (directory, size) {
  mkdirSync(directory)
  const text = session(size)
  const bare = floor(directory, text)
  const { store, once, key } = await stored(join(directory, 'store'), text)
  const times = { floor: [], store: [], ratio: [] }

  for (let i = -WARM_UP; i < BLOCKS; i++) {
    const first = await block(i % 2 === 0 ? bare : once)
    const second = await block(i % 2 === 0 ? once : bare)
    if (i < 0) continue // warming up
    const [floor, store] = i % 2 === 0 ? [first, second] : [second, first]
    times.floor.push(floor)
    times.store.push(store)
    times.ratio.push(store / floor)
  }

  const { n } = JSON.parse((await store.read(key)).data)
  const lost = CYCLES * (BLOCKS + WARM_UP) - (n - 1_000_000)
  await store.close?.()
  console.log(`${size} bytes: floor ${spread(times.floor)} µs, store ${spread(times.store)} µs, ${BLOCKS} blocks of ${CYCLES}`)
  return rows(size, median(times.floor), median(times.store), median(times.ratio), lost)
}

function rows (size, floor, store, ratio, lost) {
  return [
    { name: `cycle on a file, ${size} bytes: floor`, requestsPerSecond: 1e6 / floor, cpu: floor },
    { name: `cycle on a file, ${size} bytes: file store`, requestsPerSecond: 1e6 / store, cpu: store, lost, check: { ratio, atMost: 1.5 } }
  ]
}

await main(() => withFolder(async (folder) => {
  const all = []
  for (const size of SIZES) all.push(...await measure(join(folder, String(size)), size))
  return all
}))
