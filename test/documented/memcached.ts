// The examples of docs/stores/memcached.md.
import { type Example, Visitor } from '../helpers/documentation.js'
import { startMemcached } from '../helpers/local-services.js'

const examples: Record<string, Example> = {
  memcached: {
    programs: ['memcached'],
    then: "app.get('/count', async ({ session }) => session.set('n', session.get('n', 0) + 1).data())",
    async prepare (t) {
      const { port } = await startMemcached(t)
      return { '127.0.0.1:11211': `127.0.0.1:${port}` }
    },
    async check (app, t) {
      const visitor = new Visitor(app)
      await visitor.send('GET', '/count')
      t.same((await visitor.send('GET', '/count')).json(), { n: 2 })
      t.equal(app.sessions.scope, 'network')
    }
  }
}

export default examples
