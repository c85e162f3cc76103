/**
 * The data of a session. Describe yours by augmentation:
 *
 *     declare module 'fastify-locked-session' { interface SessionData { visits: number } }
 *
 * Without it every key is allowed and its value is `any`. With it only the described keys compile.
 */
export interface SessionData {}

/** The keys that compile: any, until SessionData is augmented. */
export type SessionKey = keyof SessionData extends never ? string : keyof SessionData & string

/** The type of one value. */
export type SessionValue<K extends string> = K extends keyof SessionData ? SessionData[K] : any

/** The data as one object. */
export type SessionObject = keyof SessionData extends never ? Record<string, any> : Partial<SessionData>

/** A session as it stood in the store, detached from it: changing it changes nothing. */
export interface SessionSnapshot {
  /** SHA-256 of the session id, as the store knows it. Never valid as a cookie. */
  readonly key: string
  readonly user: string | null
  /** ms since the epoch */
  readonly createdAt: number
  readonly lastAccessedAt: number
  readonly expiresAt: number
  readonly data: SessionObject
  /** Waits for the session's lock, then deletes the session. Resolves to whether it still existed. */
  destroy (): Promise<boolean>
}
