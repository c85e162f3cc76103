// The Redis store in the conformance suites, through ioredis.
import { Redis } from 'ioredis'
import t from 'tap'
import { skipWithout, startRedis } from './helpers/local-services.js'
import { runSuites } from './helpers/redis-suites.js'

t.test('with ioredis', { skip: skipWithout('redis-server') }, async (t) => {
  const { port } = await startRedis(t, ['--appendfsync', 'no'])
  const client = new Redis({ port })
  t.teardown(() => client.disconnect())
  await runSuites(t, client, client)
})
