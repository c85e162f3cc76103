// The examples of docs/stores/redis.md.
import { type Example, Visitor } from '../helpers/documentation.js'
import { startRedis } from '../helpers/local-services.js'

const examples: Record<string, Example> = {
  redis: {
    programs: ['redis-server'],
    then: "app.get('/count', async ({ session }) => session.set('n', session.get('n', 0) + 1).data())",
    async prepare (t) {
      const { port } = await startRedis(t)
      return { '127.0.0.1:6379': `127.0.0.1:${port}` }
    },
    async check (app, t) {
      t.equal(app.sessions.scope, 'network')
      const visitor = new Visitor(app)
      await visitor.send('GET', '/count')
      t.same((await visitor.send('GET', '/count')).json(), { n: 2 })
      t.equal(await app.sessions.count(), 1)
    }
  }
}

export default examples
