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
