// The example of docs/migrating-from-fastify-session.md.
import { type Example, Visitor } from '../helpers/documentation.js'

const examples: Record<string, Example> = {
  compat: {
    async check (app, t) {
      const visitor = new Visitor(app)
      await visitor.send('GET', '/visits')
      const answers = await Promise.all([1, 2, 3].map(() => visitor.send('GET', '/visits')))
      t.same(answers.map(answer => answer.json().visits), [2, 3, 4])
    }
  }
}

export default examples
