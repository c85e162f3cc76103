// The examples of docs/stores/redis.md.
import { type Example, Visitor } from '../helpers/documentation.js'
import { startRedis } from '../helpers/local-services.js'
import { RedisCluster } from '../helpers/redis-cluster.js'
import { startReplica, startSentinel } from '../helpers/redis-replication.js'

const count = "app.get('/count', async ({ session }) => session.set('n', session.get('n', 0) + 1).data())"

const close = "app.addHook('onClose', () => client.quit())"

const check: Example['check'] = async (app, t) => {
  t.equal(app.sessions.scope, 'network')
  const visitor = new Visitor(app)
  await visitor.send('GET', '/count')
  t.same((await visitor.send('GET', '/count')).json(), { n: 2 })
  t.equal(await app.sessions.count(), 1)
}

const examples: Record<string, Example> = {
  redis: {
    programs: ['redis-server'],
    then: count,
    async prepare (t) {
      const { port } = await startRedis(t)
      return { '127.0.0.1:6379': `127.0.0.1:${port}` }
    },
    check
  },
  'redis-sentinel': {
    programs: ['redis-server'],
    given: "import { Redis } from 'ioredis'\nimport { RedisStore } from 'fastify-locked-session/redis'",
    then: `${count}\n${close}`,
    async prepare (t) {
      const master = await startRedis(t, ['--repl-diskless-sync-delay', '0'])
      await startReplica(t, master.port)
      return { 'port: 26379': `port: ${(await startSentinel(t, master)).port}` }
    },
    check
  },
  'redis-cluster': {
    programs: ['redis-server'],
    given: "import { Cluster } from 'ioredis'\nimport { RedisStore } from 'fastify-locked-session/redis'",
    then: `${count}\n${close}`,
    async prepare (t) {
      return { 'port: 7000': `port: ${(await RedisCluster.start(t)).ports[0]}` }
    },
    check
  }
}

export default examples
