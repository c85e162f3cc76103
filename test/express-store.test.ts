// Stores for express-session, as they are published, in the conformance suites.
import session from 'express-session'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type ConformanceOptions, httpConformance, storeConformance } from '../lib/conformance/index.js'
import type { Store } from '../lib/index.js'
import { type ExpressSessionStore, ExpressStore } from '../lib/stores/express/index.js'
import { FileStore } from '../lib/stores/file/index.js'
import { PUBLISHED } from './helpers/express-stores.js'

function suites (t: Test, options: ConformanceOptions): void {
  t.test('as a store', async (t) => {
    for (const { name, run } of storeConformance(options)) t.test(name, run)
  })
  t.test('under the plugin', async (t) => {
    for (const { name, run } of httpConformance(options)) t.test(name, run)
  })
}

for (const [name, { skip, listing, start }] of Object.entries(PUBLISHED)) {
  t.test(name, { skip }, async (t) => {
    const newStore = await start(t)
    suites(t, { createStore: async () => new ExpressStore({ store: await newStore() }), listing })
  })
}

t.test('with the locks of a FileStore', async (t) => {
  interface Place { store: ExpressSessionStore, directory: string }
  const base = t.testdir()
  let folders = 0
  const places = new WeakMap<Store, Place>()
  const open = (place: Place) => {
    const store = new ExpressStore({ store: place.store, lock: new FileStore({ directory: place.directory }) })
    places.set(store, place)
    return store
  }
  suites(t, {
    createStore: () => open({ store: new session.MemoryStore(), directory: join(base, String(folders++)) }),
    secondConnection: (store) => open(places.get(store)!)
  })
})
