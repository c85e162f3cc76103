// Routes that most cases need.
import type { FastifyInstance } from 'fastify'
import type { Locking } from '../../../types/options.js'
import { sleep } from '../patience.js'

interface RouteConfig { config: { session: { locking: Locking } } }

export const IMPLICIT: RouteConfig = { config: { session: { locking: 'implicit' } } }
export const EXPLICIT: RouteConfig = { config: { session: { locking: 'explicit' } } }
export const READONLY: RouteConfig = { config: { session: { locking: 'readonly' } } }

/** What a route says for each way of locking. */
export const MODES: Record<Locking, RouteConfig> = { implicit: IMPLICIT, explicit: EXPLICIT, readonly: READONLY }

export function addRoutes (app: FastifyInstance): void {
  /** What a visitor finds. Takes no lock. */
  app.get('/data', READONLY, async ({ session }) => ({ data: session.data(), isNew: session.isNew, user: session.user }))

  app.post('/data', IMPLICIT, async ({ session, body }) => {
    session.update(body as object)
    return 'saved'
  })

  /** Loses updates if two run at once. */
  app.post('/increment', IMPLICIT, async ({ session }) => {
    const n = session.get('n', 0)
    await sleep(1)
    session.set('n', n + 1)
    return { n: n + 1 }
  })

  app.post('/section', EXPLICIT, async (request) => await request.withSessionLock(async (session) => {
    const n = session.get('n', 0)
    await sleep(1)
    session.set('n', n + 1)
    return { n: n + 1 }
  }))

  app.post('/logout', IMPLICIT, async ({ session }) => {
    await session.destroy()
    return 'bye'
  })

  /** `keep` in the body: as for session.regenerate(). */
  app.post('/regenerate', IMPLICIT, async ({ session, body }) => {
    await session.regenerate((body as { keep?: true | string[] }).keep)
    return 'regenerated'
  })
}
