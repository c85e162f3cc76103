// The memory store in the conformance suites.
import t from 'tap'
import { httpConformance, storeConformance } from '../lib/conformance/index.js'
import { MemoryStore } from '../lib/stores/memory.js'

const options = { createStore: () => new MemoryStore() }

t.test('as a store', async (t) => {
  for (const { name, run } of storeConformance(options)) t.test(name, run)
})

t.test('under the plugin', async (t) => {
  for (const { name, run } of httpConformance(options)) t.test(name, run)
})
