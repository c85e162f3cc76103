// The examples of docs/stores/postgres.md.
import { type Example, Visitor } from '../helpers/documentation.js'
import { startPostgres } from '../helpers/local-services.js'

const examples: Record<string, Example> = {
  postgres: {
    programs: ['postgres', 'initdb'],
    then: "app.get('/count', async ({ session }) => session.set('n', session.get('n', 0) + 1).data())",
    async prepare (t) {
      const { port } = await startPostgres(t)
      return { '127.0.0.1:5432': `127.0.0.1:${port}` }
    },
    async check (app, t) {
      const visitor = new Visitor(app)
      await visitor.send('GET', '/count')
      t.same((await visitor.send('GET', '/count')).json(), { n: 2 })
      t.equal(await app.sessions.count(), 1)
    }
  },
  'postgres-schema': { as: 'program' }
}

export default examples
