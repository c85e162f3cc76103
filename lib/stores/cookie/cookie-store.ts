// The whole session in one encrypted cookie. Nothing is kept on the server, so nothing can be locked, listed or revoked
// there: the last reply that a browser receives decides what it sends next.
import type { Carrier, PruneResult, SessionRecord, Store, StoreContext } from '../../../types/store.js'
import { UnsupportedError } from '../../errors.js'
import { checkAll, type Check } from '../../options/check.js'
import { SecretBox } from './secret-box.js'
import { decodeRecord, encodeRecord } from './record-format.js'

export interface CookieStoreOptions {
  /**
   * Encrypts the cookie. At least 32 characters, from a random source, e.g. `openssl rand -base64 32`. An array rotates secrets:
   * the first one encrypts, all decrypt, and a cookie under an older one is sent again under the first.
   */
  secret: string | string[]
}

const secretCheck: Check = (value) => {
  const secrets = Array.isArray(value) ? value : [value]
  return secrets.length > 0 && secrets.every(secret => typeof secret === 'string' && secret.length >= 32)
    ? null
    : 'must be a string of at least 32 characters, or an array of such strings'
}

export class CookieStore implements Store {
  /** Its lock keeps nobody out: there is none. */
  readonly scope = 'none'
  readonly locking = 'none'
  readonly carrier: Carrier
  #now: () => number = Date.now

  constructor (options: CookieStoreOptions) {
    checkAll(options, { secret: secretCheck }, '', ['secret'])
    const [newest, ...older] = [options.secret].flat().map(secret => new SecretBox(secret)) as [SecretBox, ...SecretBox[]]
    this.carrier = {
      seal: (id, record, cookieName) => newest.encrypt(encodeRecord(id, record), cookieName),
      unseal: (value, cookieName) => {
        for (const box of [newest, ...older]) {
          const plain = box.decrypt(value, cookieName)
          if (plain !== null) return this.#live(decodeRecord(plain), box !== newest)
        }
        return null
      }
    }
  }

  open (context: StoreContext): void {
    this.#now = context.now
  }

  #live (found: { id: string, record: SessionRecord } | null, renew: boolean) {
    return found === null || found.record.expiresAt <= this.#now() ? null : { ...found, renew }
  }

  // ---- what needs sessions on the server ----

  acquire (): never { throw new UnsupportedError(ELSEWHERE) }
  read (): never { throw new UnsupportedError(ELSEWHERE) }
  create (): never { throw new UnsupportedError(ELSEWHERE) }
  count (): never { throw new UnsupportedError('list sessions: each is in the cookie of its visitor') }
  entries (): never { throw new UnsupportedError('list sessions: each is in the cookie of its visitor') }
  /** There is nothing to clean up. */
  prune (): PruneResult { return { deleted: 0, remaining: 0 } }
}

const ELSEWHERE = 'reach a session outside of its own requests: it is in the cookie of its visitor'
