// What a request brings in a cookie of ours.
import type { SessionRecord } from '../../types/store.js'

export interface CookieId {
  readonly id: string
  /** Valid, but signed or sealed with an old secret. */
  readonly renew: boolean
  /** The session itself, when it travels in the cookie. */
  readonly record?: SessionRecord
}
