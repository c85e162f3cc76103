// The Redis store across processes, and when the server fails. It keeps what it has acknowledged: appendfsync always.
import { Redis } from 'ioredis'
import t from 'tap'
import { type Service, skipWithout, startRedis } from './helpers/local-services.js'
import { networkFaults } from './helpers/network-faults.js'

const lease = 2000

/** Those that subscribe, too. */
async function cut ({ port }: Service): Promise<void> {
  const admin = new Redis({ host: '127.0.0.1', port })
  for (const type of ['normal', 'pubsub']) await admin.call('CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes')
  admin.disconnect()
}

t.test('the Redis store stands faults', { skip: skipWithout('redis-server') }, async (t) => {
  await networkFaults(t, { backend: 'redis', startService: async t => await startRedis(t), options: { lease }, lease, durable: true, cut })
})
