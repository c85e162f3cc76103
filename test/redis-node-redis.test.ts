// The Redis store in the conformance suites, through node-redis.
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import t from 'tap'
import { skipWithout, startRedis } from './helpers/local-services.js'
import { runSuites } from './helpers/redis-suites.js'

t.test('with node-redis', { skip: skipWithout('redis-server') }, async (t) => {
  const { port } = await startRedis(t, ['--appendfsync', 'no'])
  const admin = new Redis({ port })
  const client = await createClient({ url: `redis://127.0.0.1:${port}` }).connect()
  t.teardown(() => { admin.disconnect(); client.destroy() })
  await runSuites(t, client, admin)
})
