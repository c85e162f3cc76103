// The file store in the conformance suites, in each of its ways to write.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type ConformanceOptions, httpConformance, storeConformance } from '../lib/conformance/index.js'
import { FileStore, type FileStoreOptions } from '../lib/stores/file/index.js'
import type { Store } from '../lib/index.js'

const base = t.testdir()
let folders = 0

function optionsFor (ways: Omit<FileStoreOptions, 'directory'>): ConformanceOptions {
  const directories = new WeakMap<Store, string>()
  const open = (directory: string) => {
    const store = new FileStore({ directory, ...ways })
    directories.set(store, directory)
    return store
  }
  return {
    createStore: () => open(join(base, String(folders++))),
    secondConnection: (store) => open(directories.get(store)!),
    spoil: (store, key) => writeFileSync(join(directories.get(store)!, key), 'FLS1 spoilt by the test')
  }
}

const WAYS: Record<string, Omit<FileStoreOptions, 'directory'>> = {
  'on the JavaScript thread': {},
  'in the thread pool': { io: 'async' },
  'waiting for the disk': { durable: true }
}

for (const [way, options] of Object.entries(WAYS)) {
  t.test(`${way}, as a store`, async (t) => {
    for (const { name, run } of storeConformance(optionsFor(options))) t.test(name, run)
  })

  t.test(`${way}, under the plugin`, async (t) => {
    for (const { name, run } of httpConformance(optionsFor(options))) t.test(name, run)
  })
}
