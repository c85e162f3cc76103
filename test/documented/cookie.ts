// The examples of docs/stores/cookie.md.
import { type Example, Visitor } from '../helpers/documentation.js'

const examples: Record<string, Example> = {
  'cookie-store': {
    prepare: async () => ({ 'process.env.SESSION_SECRET': JSON.stringify('a secret of more than 32 characters') }),
    async check (app, t) {
      const visitor = new Visitor(app)
      t.same((await visitor.send('POST', '/language', { language: 'eo' })).json(), { language: 'eo' })
      t.same(await app.sessions.with(visitor.header, session => session.data()), { language: 'eo' })
    }
  }
}

export default examples
