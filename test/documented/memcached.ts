// The examples of docs/stores/memcached.md.
import { type Example, Visitor } from '../helpers/documentation.js'
import { startMemcached } from '../helpers/local-services.js'

const examples: Record<string, Example> = {
  memcached: {
    async prepare (t) {
      const { host, port } = await startMemcached(t)
      return { '127.0.0.1:11211': `${host}:${port}` }
    },
    async check (app, t) {
      const visitor = new Visitor(app)
      for (const visits of [1, 2, 3]) t.same((await visitor.send('POST', '/visits')).json(), { visits })
    }
  }
}

export default examples
