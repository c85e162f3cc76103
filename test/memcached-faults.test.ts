// The memcached store across processes, and when the server fails: everything in it is gone then.
import t from 'tap'
import { skipWithout, startMemcached } from './helpers/local-services.js'
import { networkFaults } from './helpers/network-faults.js'

// memcached counts whole seconds and the first one is short.
const lease = 2000

t.test('the memcached store stands faults', { skip: skipWithout('memcached') }, async (t) => {
  await networkFaults(t, { backend: 'memcached', startService: async t => await startMemcached(t), options: { lease }, lease: lease + 1000, durable: false })
})
