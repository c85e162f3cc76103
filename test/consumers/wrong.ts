// A program with mistakes. It must not compile: this shows that the others are really checked.
import Fastify from 'fastify'
import sessionPlugin, { NotFoundError, type Store } from 'fastify-locked-session'
import { PostgresStore } from 'fastify-locked-session/postgres'

const app = Fastify()
app.register(sessionPlugin, { lockTimeout: '5' })
app.get('/', async (request) => request.session.visits)
export const pool = new PostgresStore({ pool: { max: 5 } })
export const store: Store = { scope: 'process' }
export const statusCode: string = new NotFoundError().statusCode
