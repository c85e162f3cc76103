// What a handler sees: an object whose own properties are the data of the session, beside `cookie`.
import type { Awaitable } from '../awaitable.js'
import { type Callback, answer, answerAtOnce } from './callback.js'
import { Cookie, type CookieOptions, type StoredCookie } from './cookie.js'
import type { SessionValues } from '../session/session-values.js'

/** A store must be able to lock what it has just stored. */
const MIN_LIFETIME = 1000

/** Whoever loads and saves for a session object: a request, or decryptSession(). */
export interface SessionKeeper {
  readonly protocol: string | null
  sign (id: string): string
  save (session: SessionObject): Awaitable<void>
  reload (session: SessionObject): Promise<void>
  destroy (session: SessionObject): Promise<void>
  regenerate (session: SessionObject, keep: string[]): Promise<void>
}

// What others of this folder do with a session. Symbols, because every other name may be that of a field.
export const kRefill = Symbol('refill')
export const kCopyTo = Symbol('copyTo')
export const kMarkSaved = Symbol('markSaved')
export const kMarkClean = Symbol('markClean')
export const kMarkModified = Symbol('markModified')
export const kLifetime = Symbol('lifetime')
export const kCookieOptions = Symbol('cookieOptions')

export class SessionObject {
  // `declare`: all that is enumerable here is data.
  declare cookie: Cookie;
  [key: string]: any

  readonly #keeper: SessionKeeper
  readonly #id: string
  #cookieOptions: StoredCookie
  #saved = false
  /** The data as they were loaded or saved; null: to be taken from `#text`, which is what the store has. */
  #persisted: string | null = '{}'
  #text = ''

  constructor (keeper: SessionKeeper, id: string, cookieOptions: CookieOptions, stored: Record<string, any> | null, text?: string) {
    this.#keeper = keeper
    this.#id = id
    this.#cookieOptions = { ...cookieOptions }
    this[kRefill](stored, text)
  }

  get sessionId (): string { return this.#id }
  get encryptedSessionId (): string { return this.#keeper.sign(this.#id) }

  get (key: string): any {
    return this[key]
  }

  set (key: string, value: unknown): void {
    setOwn(this, key, value)
  }

  options (given: Partial<CookieOptions>): void {
    if (Object.keys(given).length === 0) return
    this.#cookieOptions = { ...this.#cookieOptions, ...given as StoredCookie }
    this.cookie = new Cookie(this.#cookieOptions, this.#keeper.protocol)
  }

  touch (): void {
    const { originalMaxAge } = this.cookie
    if (originalMaxAge) this.cookie.expires = new Date(Date.now() + originalMaxAge)
  }

  regenerate (keep?: string[] | Callback, callback?: Callback): any {
    if (typeof keep === 'function') return this.regenerate(undefined, keep)
    return answer(this.#keeper.regenerate(this, Array.isArray(keep) ? keep : []), callback)
  }

  destroy (callback?: Callback): any {
    return answer(this.#keeper.destroy(this), callback)
  }

  reload (callback?: Callback): any {
    return answer(this.#keeper.reload(this), callback)
  }

  save (callback?: Callback): any {
    if (callback !== undefined) return answerAtOnce(() => this.#keeper.save(this), callback)
    return answer((async () => await this.#keeper.save(this))(), undefined)
  }

  isModified (): boolean {
    try {
      this.#persisted ??= withoutCookie(this.#text)
      return this.#persisted !== JSON.stringify(this.#data())
    } catch {
      return true // It cannot be encoded, and the save will say so.
    }
  }

  isSaved (): boolean {
    return this.#saved
  }

  // ---- for the keeper ----

  /** Takes over what the store had; null: it had nothing. `text`: the same as it is stored, which saves time. */
  [kRefill] (stored: Record<string, any> | null, text?: string): void {
    for (const key of Object.keys(this)) delete this[key]
    const previous = stored?.cookie as StoredCookie | undefined
    const restored: StoredCookie = { ...this.#cookieOptions, ...previous }
    this.cookie = new Cookie(restored, this.#keeper.protocol)
    this.#cookieOptions = lasting(restored)
    if (stored !== null) {
      for (const key of Object.keys(stored)) {
        if (key !== 'cookie' && key !== 'sessionId' && key !== 'encryptedSessionId') setOwn(this, key, stored[key])
      }
    }
    this[kMarkClean](text)
  }

  [kMarkSaved] (): void {
    this.#saved = true
    this[kMarkClean]()
  }

  /** `text`: what is stored, if that is known. */
  [kMarkClean] (text?: string): void {
    if (text === undefined) {
      this.#persisted = JSON.stringify(this.#data())
    } else {
      this.#persisted = null
      this.#text = text
    }
  }

  /** It differs from what is stored, whatever it looks like. */
  [kMarkModified] (): void {
    this.#persisted = ''
  }

  /** The cookie of a session that replaces this one. */
  get [kCookieOptions] (): StoredCookie {
    return this.#cookieOptions
  }

  /** How long it lives from now, in ms; undefined: until the browser ends. What has expired can still be stored. */
  get [kLifetime] (): number | undefined {
    const { maxAge } = this.cookie
    return maxAge === null ? undefined : Math.max(maxAge, MIN_LIFETIME)
  }

  /** Puts everything that is stored where a save takes it from. */
  [kCopyTo] (values: SessionValues): void {
    // The cookie first, as @fastify/session has it.
    const stored = { cookie: this.cookie.toJSON(), ...this.#data() } as Record<string, any>
    for (const key of values.keys()) if (!Object.hasOwn(stored, key)) values.delete(key)
    for (const key of Object.keys(stored)) values.set(key, stored[key])
  }

  #data (): Record<string, any> {
    const data: Record<string, any> = {}
    for (const key of Object.keys(this)) if (key !== 'cookie') setOwn(data, key, this[key])
    return data
  }
}

// `__proto__` is a key like any other: an assignment must not take the methods away.
Object.defineProperty(SessionObject.prototype, '__proto__', {
  configurable: true,
  get () { return Object.getPrototypeOf(this) },
  set (this: object, value: unknown) { setOwn(this, '__proto__', value) }
})

/** Sets an own property, whatever its name; an assignment is faster, but these names mean something else there. */
function setOwn (target: any, key: string, value: unknown): void {
  if (key !== '__proto__' && key !== 'sessionId' && key !== 'encryptedSessionId') target[key] = value
  else Object.defineProperty(target, key, { value, writable: true, enumerable: true, configurable: true })
}

/** The data in what is stored. Read only when somebody asks, because most requests are saved without asking. */
function withoutCookie (text: string): string {
  const { cookie: _, sessionId: __, encryptedSessionId: ___, ...data } = JSON.parse(text)
  return JSON.stringify(data)
}

/** What options() starts from: the settings, without a date that has passed. */
function lasting (restored: StoredCookie): StoredCookie {
  const { originalMaxAge, originalExpires: _, ...options } = restored
  if (originalMaxAge !== null && originalMaxAge !== undefined) options.maxAge = originalMaxAge
  else if (options.expires && !(new Date(options.expires).getTime() > Date.now())) delete options.expires
  return options
}
