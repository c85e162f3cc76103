// The options of @fastify/session, turned into those that the rest of this package works with.
import type { FastifyRequest } from 'fastify'
import type { CookieSigner } from '../../types/options.js'
import type { Store } from '../../types/store.js'
import { InvalidOptionError } from '../errors.js'
import { type ResolvedOptions, resolveOptions } from '../options/plugin-options.js'
import { generateSessionId } from '../session/id.js'
import type { CompatOptions } from './compat-request.js'
import { MemoryStore } from './memory-store.js'
import { peerStoreFor } from './peer-store.js'
import { signerOf } from './signer.js'
import type { FastifySessionOptions, SessionStore } from './types.js'

const DAY = 24 * 60 * 60 * 1000

export interface ResolvedCompatOptions extends CompatOptions {
  readonly cookieName: string
  readonly cookiePrefix: string
  readonly signer: CookieSigner
  /** As the application gave it. */
  readonly givenStore: SessionStore | Store
  readonly core: ResolvedOptions
}

/** Throws what @fastify/session throws; unknown options are ignored, as there. */
export function resolveCompatOptions (given: FastifySessionOptions): ResolvedCompatOptions {
  const signer = signerOf(given.secret, given.algorithm ?? 'sha256')
  const givenStore = given.store ?? new MemoryStore()
  const locks = isOurs(givenStore)
  if (locks && givenStore.carrier !== undefined) throw new InvalidOptionError('store', 'must keep sessions on the server')
  const rolling = given.rolling ?? true
  const cookieName = given.cookieName || 'sessionId'
  const { locking, lockTimeout, maxWaiters, maxHold, saveOnError, maxRecordSize, cleanupInterval } = given
  const core = resolveOptions(withoutUndefined({
    store: locks ? givenStore : peerStoreFor(givenStore),
    // For a session that ends with the browser; any other says itself when it ends.
    idleTimeout: DAY,
    touchInterval: 0,
    cacheHeaders: false,
    rolling,
    cookieName,
    // A request that fails keeps its changes, as in @fastify/session.
    saveOnError: saveOnError ?? (() => true),
    locking,
    lockTimeout,
    maxWaiters,
    maxHold,
    maxRecordSize,
    cleanupInterval,
    serializer: { encode: (data: unknown) => JSON.stringify(data), decode: (raw: string | Uint8Array) => JSON.parse(raw.toString()) }
  }))
  return {
    cookieName,
    cookiePrefix: given.cookiePrefix ?? '',
    cookie: { ...given.cookie, secure: given.cookie?.secure ?? true },
    rolling,
    saveUninitialized: given.saveUninitialized ?? true,
    idGenerator: (given.idGenerator ?? generateSessionId) as (request?: FastifyRequest) => string,
    signer,
    givenStore,
    core: {
      ...core,
      hashIds: locks,
      absoluteTimeout: Infinity,
      // Not Infinity: stores put it where only whole numbers go.
      maxRecordSize: maxRecordSize ?? Number.MAX_SAFE_INTEGER
    }
  }
}

function isOurs (store: SessionStore | Store): store is Store {
  return typeof (store as Store).acquire === 'function'
}

function withoutUndefined (options: object): object {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
}
