// The type of request.session. Two plugins of this package declare it, and TypeScript wants both to say the same.
import type { Session } from '../lib/session/session.js'

/** Which kinds of session are in use. Each plugin adds its own. */
export interface SessionKinds {}

/** What `request.session` is: our own session, unless only the compat plugin is used. */
export type RequestSessionObject = SessionKinds extends { own: unknown }
  ? Session
  : SessionKinds extends { compat: infer Compat } ? Compat : Session
