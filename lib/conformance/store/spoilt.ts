// Records that cannot be read count as missing (rule C2).
import assert from 'node:assert/strict'
import type { ConformanceCase, ConformanceOptions } from '../options.js'
import { HOUR, newKey, numberIn, storeCases, TestTicket } from './store-scene.js'

export function spoiltCases (options: ConformanceOptions): ConformanceCase[] {
  const { spoil, listing } = options
  if (spoil === undefined) return []
  const storeCase = storeCases(options)
  return [
    storeCase('C2 a spoilt session counts as missing, and the log says so', async (scene) => {
      const store = await scene.store()
      const key = await scene.stored(store)
      await spoil(store, key)
      scene.log.forget()
      assert.equal(await store.read(key), null)
      assert.equal(scene.log.from('warn').length, 1)
      assert.equal(await store.acquire(new TestTicket(key)), null)
      assert.equal(scene.log.from('warn').length, 2)
      assert.ok(!scene.log.text.includes(key))
    }),

    storeCase('C2 a spoilt session does not trouble the others', async (scene) => {
      const store = await scene.store()
      const spoilt = await scene.stored(store)
      const other = await scene.stored(store, { data: '{"n":5}' })
      const expired = newKey()
      await store.create(expired, scene.record({ expiresAt: scene.clock.now() + 1 }))
      await spoil(store, spoilt)
      scene.clock.advance(HOUR / 2)
      assert.equal(numberIn(await store.read(other)), 5)
      if (listing === false) return
      assert.equal(await store.count(), 1)
      for await (const [key] of store.entries()) assert.equal(key, other)
      assert.ok((await store.prune()).deleted >= 1)
      assert.equal(numberIn(await store.read(other)), 5)
      assert.equal(await store.count(), 1)
    })
  ]
}
