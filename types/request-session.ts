// The types of request.session and fastify.sessions. Two plugins of this package declare it, and TypeScript wants both to say the same.
import type { SessionManager } from '../lib/manager.js'
import type { Session } from '../lib/session/session.js'

/** Which kinds of session are in use. Each plugin adds its own. */
export interface SessionKinds {}

/** What `request.session` is: our own session, unless only the compat plugin is used. */
export type RequestSessionObject = SessionKinds extends { own: unknown }
  ? Session
  : SessionKinds extends { compat: infer Compat } ? Compat : Session

/** Which managers of sessions are in use. */
export interface ManagerKinds {}

/** What `fastify.sessions` is, in the same way. */
export type SessionManagerObject = ManagerKinds extends { own: unknown }
  ? SessionManager
  : ManagerKinds extends { compat: infer Compat } ? Compat : SessionManager
