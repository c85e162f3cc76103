// Two plugins that set a cookie of one name would take each other's sessions away, without a word.
import type { FastifyInstance } from 'fastify'
import { InvalidOptionError } from '../errors.js'

const CLAIMED = Symbol('fastify-locked-session.cookie-names')

/** A property, because nested contexts inherit those; siblings do not see each other's, and may use the same name. */
type WithNames = FastifyInstance & { [CLAIMED]?: readonly string[] }

/** Throws `FST_SESSION_INVALID_OPTION` if sessions under this name are registered here already. */
export function claimCookieName (app: FastifyInstance, name: string): void {
  const instance = app as WithNames
  const claimed = instance[CLAIMED] ?? []
  if (claimed.includes(name)) throw new InvalidOptionError('cookieName', `${name} is that of another registration of sessions here; give each a name of its own`)
  instance[CLAIMED] = [...claimed, name]
}
