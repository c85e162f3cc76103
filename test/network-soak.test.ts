// Each network store under everything at once. SOAK_SECONDS makes it longer, for each store.
import t from 'tap'
import { skipWithout, startMemcached, startPostgres, startRedis } from './helpers/local-services.js'
import { NetworkScene } from './helpers/network-scene.js'
import { soak } from './helpers/network-soak.js'

const duration = Number(process.env.SOAK_SECONDS ?? 10) * 1000
const session = { cleanupInterval: 500 }

t.test('nothing acknowledged is lost, and nothing dead comes back: Redis', { skip: skipWithout('redis-server') }, async (t) => {
  await soak(t, await NetworkScene.begin(t, { backend: 'redis', startService: async t => await startRedis(t), options: { lease: 1000 }, session }), duration)
})

t.test('nothing acknowledged is lost, and nothing dead comes back: PostgreSQL', { skip: skipWithout('postgres', 'initdb') }, async (t) => {
  await soak(t, await NetworkScene.begin(t, { backend: 'postgres', startService: async t => await startPostgres(t), options: { lease: 1000 }, session }), duration)
})

t.test('nothing acknowledged is lost, and nothing dead comes back: memcached', { skip: skipWithout('memcached') }, async (t) => {
  await soak(t, await NetworkScene.begin(t, { backend: 'memcached', startService: async t => await startMemcached(t), options: { lease: 2000 }, session }), duration)
})
