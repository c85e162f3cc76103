// Stores for express-session that many hosts share, with the locks of a network store: in the conformance suites, and
// in four processes that count on one session.
import type { Test } from 'tap'
import { type ConformanceOptions, httpConformance, storeConformance } from '../../lib/conformance/index.js'
import type { Store } from '../../lib/index.js'
import type { ExpressStore } from '../../lib/stores/express/index.js'
import { type NetworkOptions, NetworkScene } from './network-scene.js'
import { turnCases } from './network-turns.js'

/** `open` makes a store on the place with this name, which `prepare` has made. `listing`: it can list its sessions. */
export async function suites (t: Test, listing: boolean, open: (place: string) => ExpressStore, prepare: (place: string) => Promise<unknown> = async () => {}): Promise<void> {
  let places = 0
  const placeOf = new WeakMap<Store, string>()
  const openAt = (place: string) => {
    const store = open(place)
    placeOf.set(store, place)
    return store
  }
  const options: ConformanceOptions = {
    async createStore () {
      const place = `place${places++}`
      await prepare(place)
      return openAt(place)
    },
    secondConnection: store => openAt(placeOf.get(store)!),
    listing
  }
  await t.test('as a store', async (t) => {
    for (const { name, run } of storeConformance(options)) await t.test(name, run)
  })
  await t.test('under the plugin', async (t) => {
    for (const { name, run } of httpConformance(options)) await t.test(name, run)
  })
}

export async function inFourProcesses (t: Test, options: NetworkOptions): Promise<void> {
  await t.test('in four processes', async (t) => {
    turnCases(t, await NetworkScene.begin(t, options))
  })
}
