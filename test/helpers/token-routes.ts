// The requests of helpers/session-model.ts, as routes of a server with locked sessions.
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Session } from '../../lib/index.js'

/** `work`: how many ms it takes. */
type Request = FastifyRequest<{ Querystring: { token: string, work: string } }>

export function addTokenRoutes (app: FastifyInstance): void {
  app.post('/tokens/new', async ({ session }) => {
    session.set('tokens', '')
    return { found: true, tokens: '' }
  })
  app.get('/tokens/read', { config: { session: { locking: 'readonly' } } }, async ({ session }) => answerOf(session))
  app.get('/tokens/visit', async ({ session }) => answerOf(session))
  app.post('/tokens/append', async (request: Request) => await append(request.session, request))
  app.post('/tokens/section', { config: { session: { locking: 'explicit' } } }, async (request: Request) => {
    return await request.withSessionLock(async (session) => await append(session, request))
  })
  app.post('/tokens/regenerate', async ({ session }) => {
    const answer = answerOf(session)
    if (!session.isNew) await session.regenerate(true)
    return answer
  })
  app.post('/tokens/reset', async ({ session }) => {
    if (session.isNew) return answerOf(session)
    await session.regenerate()
    session.set('tokens', '')
    return { found: true, tokens: '' }
  })
  app.post('/tokens/destroy', async ({ session }) => {
    const answer = answerOf(session)
    await session.destroy()
    return answer
  })
}

async function append (session: Session, { query }: Request): Promise<object> {
  if (session.isNew) return answerOf(session)
  const before = session.get('tokens')
  await sleep(Number(query.work))
  session.set('tokens', before === '' ? query.token : `${before},${query.token}`)
  return answerOf(session)
}

function answerOf (session: Session): object {
  return session.isNew ? { found: false } : { found: true, tokens: session.get('tokens') }
}
