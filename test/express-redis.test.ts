// A store for express-session in Redis, with the locks of a RedisStore.
import { RedisStore as ConnectRedis } from 'connect-redis'
import { createClient } from 'redis'
import t, { type Test } from 'tap'
import { ExpressStore } from '../lib/stores/express/index.js'
import { RedisStore } from '../lib/stores/redis/index.js'
import { inFourProcesses, suites } from './helpers/express-network.js'
import { type Service, skipWithout, startRedis } from './helpers/local-services.js'

t.test('connect-redis with the locks of a RedisStore', { skip: skipWithout('redis-server') }, async (t) => {
  const start = async (t: Test): Promise<Service> => await startRedis(t, ['--appendonly', 'no'])
  const redis = await start(t)
  const client = createClient({ url: `redis://127.0.0.1:${redis.port}` })
  client.on('error', () => {})
  await client.connect()
  t.teardown(() => client.destroy())
  await suites(t, true, place => new ExpressStore({
    store: new ConnectRedis({ client, prefix: `${place}:` }),
    lock: new RedisStore({ client, prefix: `${place}-lock:` })
  }))
  await inFourProcesses(t, { backend: 'express-redis', startService: start })
})
