// The Redis store in the conformance suites, through iovalkey: on Redis, and on Valkey where it can be had.
import { Redis } from 'ioredis'
import { Redis as Valkey } from 'iovalkey'
import t from 'tap'
import { findProgram, skipWithout, startRedis } from './helpers/local-services.js'
import { runSuites } from './helpers/redis-suites.js'

const programs: Record<string, string | false> = {
  'redis-server': skipWithout('redis-server'),
  // Not every system has a package of it, so the CI does without it, too, and shows that it does. Its scripts are those of Redis.
  'valkey-server': findProgram('valkey-server') === null && 'not installed: valkey-server'
}

for (const [program, skip] of Object.entries(programs)) {
  t.test(`with iovalkey on ${program}`, { skip }, async (t) => {
    const { port } = await startRedis(t, ['--appendfsync', 'no'], program)
    const admin = new Redis({ port })
    const client = new Valkey({ port })
    t.teardown(() => { admin.disconnect(); client.disconnect() })
    await runSuites(t, client, admin)
  })
}
