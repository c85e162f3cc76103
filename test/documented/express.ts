import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import type {} from '../../lib/index.js'
import { type Example, Visitor } from '../helpers/documentation.js'
import { startRedis } from '../helpers/local-services.js'

/** A route that is there before the plugin has its session all the same. */
const given = `
  app.post('/visits', async ({ session }) => {
    const visits = session.get('visits', 0) + 1
    session.set('visits', visits)
    return { visits }
  })
`

async function counts (app: FastifyInstance, t: Test): Promise<void> {
  const visitor = new Visitor(app)
  await visitor.send('POST', '/visits')
  const answers = await Promise.all([1, 2, 3].map(() => visitor.send('POST', '/visits')))
  t.same(answers.map(answer => answer.json().visits).sort(), [2, 3, 4])
}

const examples: Record<string, Example> = {
  'express-redis': {
    given,
    programs: ['redis-server'],
    async prepare (t) {
      const redis = await startRedis(t)
      return { 'redis://127.0.0.1:6379': `redis://127.0.0.1:${redis.port}` }
    },
    async check (app, t) {
      t.equal(app.sessions.scope, 'process')
      await counts(app, t)
    }
  },
  'express-lock': {
    given,
    async check (app, t) {
      t.equal(app.sessions.scope, 'host')
      await counts(app, t)
    }
  }
}

export default examples
