// Routes that do to a session what applications do.
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Session } from '../../lib/index.js'
import type { CriticalSection } from './critical-section.js'

/** `work`: how many ms it takes. `section`: the name under which the critical section is watched. */
interface Query { work?: string, section?: string, early?: string, keep?: string, size?: string }
type Request = FastifyRequest<{ Querystring: Query }>

/** lockTimeout of a route that has no time to wait, in ms. */
export const HURRY = 500

export function addSessionRoutes (app: FastifyInstance, critical: CriticalSection | null = null): void {
  const explicit = { config: { session: { locking: 'explicit' } } } as const
  const readonly = { config: { session: { locking: 'readonly' } } } as const

  app.get('/peek', readonly, async ({ session }) => stateOf(session))
  app.get('/visit', async ({ session, query }: Request) => {
    await sleep(Number(query.work ?? 0))
    return stateOf(session)
  })

  app.post('/begin', async ({ session }) => {
    session.set('n', 0)
    return {}
  })

  app.post('/increment', async (request: Request) => await increment(request.session, request.query))

  app.post('/hurry', { config: { session: { lockTimeout: HURRY } } }, async (request: Request) => await increment(request.session, request.query))

  app.post('/section', explicit, async (request: Request) => {
    return await request.withSessionLock(async (session) => await increment(session, request.query))
  })

  app.post('/fill', async ({ session, query }: Request) => {
    session.set('n', session.get('n', 0) + 1)
    session.set('filling', 'x'.repeat(Number(query.size)))
    return stateOf(session)
  })

  app.post('/regenerate', async ({ session, query }: Request) => {
    if (session.isNew) return stateOf(session)
    await sleep(Number(query.work ?? 0))
    const n = session.get('n')
    await session.regenerate(query.keep === undefined ? undefined : true)
    session.set('n', query.keep === undefined ? 0 : n + 1)
    return { n: session.get('n') }
  })

  app.post('/destroy', async ({ session, query }: Request) => {
    const state = stateOf(session)
    await sleep(Number(query.work ?? 0))
    await session.destroy()
    return state
  })

  /** Reads, works, writes: an update that gets lost without a lock. */
  async function increment (session: Session, { work = '0', section, early }: Query): Promise<object> {
    if (session.isNew) return stateOf(session)
    const update = async () => {
      const n = session.get('n')
      await sleep(Number(work))
      session.set('n', n + 1)
      if (early === undefined) return
      await session.save()
      await sleep(Number(early))
    }
    if (section === undefined || critical === null) await update()
    else await critical.run(section, update)
    return stateOf(session)
  }
}

function stateOf (session: Session): object {
  return session.isNew ? { found: false } : { found: true, n: session.get('n'), size: session.get('filling', '').length }
}
