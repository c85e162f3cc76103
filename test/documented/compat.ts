// The examples of docs/migrating-from-fastify-session.md.
import { once } from 'node:events'
import { WebSocket } from 'ws'
import { type Example, Visitor } from '../helpers/documentation.js'

const examples: Record<string, Example> = {
  compat: {
    async check (app, t) {
      const visitor = new Visitor(app)
      await visitor.send('GET', '/visits')
      const answers = await Promise.all([1, 2, 3].map(() => visitor.send('GET', '/visits')))
      t.same(answers.map(answer => answer.json().visits), [2, 3, 4])
    }
  },

  'compat-websocket': {
    async check (app, t) {
      const { headers } = await app.inject('/visits')
      const cookie = String(headers['set-cookie']).split(';')[0]!
      const address = await app.listen({ host: '127.0.0.1', port: 0 })
      const socket = new WebSocket(`${address.replace('http', 'ws')}/live`, { headers: { cookie } })
      t.teardown(() => socket.terminate())
      await once(socket, 'open')
      socket.send('')
      t.equal(String((await once(socket, 'message'))[0]), '2')
      t.equal((await app.inject({ url: '/visits', headers: { cookie } })).json().visits, 3, 'an open socket holds no lock')
    }
  }
}

export default examples
