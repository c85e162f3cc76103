import type { SessionManager } from '../lib/manager.js'
import type { Session } from '../lib/session/session.js'
import type { SessionRouteOptions } from './options.js'
import type { RequestSessionObject, SessionManagerObject } from './request-session.js'

declare module './request-session.js' {
  interface SessionKinds { own: Session }
  interface ManagerKinds { own: SessionManager }
}

declare module 'fastify' {
  interface FastifyRequest {
    /** The visitor's session. `undefined` at run time on routes with `config.session: false`. */
    session: RequestSessionObject
    /**
     * Runs `fn` with the session locked and freshly loaded, saves, unlocks, and resolves to what `fn` returned.
     * If `fn` throws, its changes are rolled back. Nested calls enter at once; calls side by side take turns.
     */
    withSessionLock<T> (fn: (session: RequestSessionObject) => T | Promise<T>): Promise<T>
  }

  interface FastifyInstance {
    /** Sessions outside of a request. */
    sessions: SessionManagerObject
  }

  interface FastifyContextConfig {
    /** How this route uses the session; false: not at all. */
    session?: false | SessionRouteOptions
  }
}
