// Checks the plugin's options and fills in the defaults.
import type { CookieSigner, SessionPluginOptions } from '../../types/options.js'
import type { Store } from '../../types/store.js'
import { isValidName } from '../cookie/cookie-header.js'
import { InvalidOptionError } from '../errors.js'
import { assertUsable, generateSessionId } from '../session/id.js'
import { jsonSerializer } from '../session/json-serializer.js'
import { MemoryStore } from '../stores/memory.js'
import { boolean, checkAll, count, type Check, duration, durationOrInfinity, func, isObject, objectWith, positiveDuration, size } from './check.js'
import { type ResolvedCookieOptions, resolveCookieOptions } from './cookie-options.js'
import { assertLockable, lockingCheck } from './route-options.js'

const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE

export type ResolvedOptions = Required<Omit<SessionPluginOptions, 'cookie' | 'secret'>> & {
  cookie: ResolvedCookieOptions
  secret: string | string[] | CookieSigner | null
  /** Whether stores see only a hash of the id. False only where others read and write the same stored sessions. */
  hashIds: boolean
}

const secretCheck: Check = (value) => {
  if (typeof value === 'string') return value.length >= 32 ? null : 'must have at least 32 characters'
  if (Array.isArray(value)) {
    if (value.length === 0) return 'must not be an empty array'
    return value.every(item => typeof item === 'string' && item.length >= 32) ? null : 'must hold strings of at least 32 characters'
  }
  return isObject(value) && typeof value.sign === 'function' && typeof value.unsign === 'function'
    ? null
    : 'must be a string, an array of strings, or an object with sign() and unsign()'
}

const checks: Record<keyof SessionPluginOptions, Check> = {
  store: objectWith('acquire', 'read', 'create', 'entries', 'count', 'prune'),
  locking: lockingCheck,
  lockTimeout: durationOrInfinity,
  maxWaiters: count,
  maxHold: positiveDuration,
  idleTimeout: positiveDuration,
  absoluteTimeout: positiveDuration,
  rolling: boolean,
  touchInterval: duration,
  cookieName: (value) => typeof value === 'string' && isValidName(value) ? null : 'must be a cookie name: letters, digits and !#$%&\'*+-.^_`|~',
  cookie: (value) => isObject(value) ? null : 'must be an object',
  secret: secretCheck,
  generateId: func,
  serializer: objectWith('encode', 'decode'),
  saveOnError: func,
  cleanupInterval: duration,
  maxRecordSize: size,
  cacheHeaders: boolean,
  decoratorName: (value) => typeof value === 'string' && /^[A-Za-z_$][\w$]*$/.test(value) ? null : 'must be a name for a property',
  now: func
}

/** Throws `FST_SESSION_INVALID_OPTION` naming the option, before anything is registered. */
export function resolveOptions (given: SessionPluginOptions): ResolvedOptions {
  // Fastify passes `prefix` and friends along to every plugin.
  const { prefix: _prefix, logLevel: _logLevel, logSerializers: _logSerializers, ...own } = given as SessionPluginOptions & Record<string, unknown>
  checkAll(own, checks)
  const options = withoutUndefined(own)
  const idleTimeout = options.idleTimeout ?? 60 * MINUTE
  const absoluteTimeout = options.absoluteTimeout ?? 30 * DAY
  const cookieName = options.cookieName ?? 'sessionId'
  const store: Store = options.store ?? new MemoryStore()
  const locking = options.locking ?? 'implicit'
  assertLockable(store, locking, 'locking')
  if (store.carrier !== undefined && options.secret !== undefined) {
    throw new InvalidOptionError('secret', 'is not used with a store that seals the whole session: give the secret to the store')
  }
  const generateId = options.generateId ?? generateSessionId
  // Two samples find what is wrong with a generator before the first visitor does.
  const sample = generateId()
  assertUsable(sample)
  if (sample === generateId()) throw new InvalidOptionError('generateId', 'must return another id each time')
  return {
    store,
    locking,
    lockTimeout: options.lockTimeout ?? 10_000,
    maxWaiters: options.maxWaiters ?? 50,
    maxHold: options.maxHold ?? MINUTE,
    idleTimeout,
    absoluteTimeout,
    // A cookie is rewritten only when the session has changed: a slow page must not bring back an older one.
    rolling: options.rolling ?? store.carrier === undefined,
    touchInterval: options.touchInterval ?? Math.min(idleTimeout / 20, MINUTE),
    cookieName,
    cookie: resolveCookieOptions(options.cookie ?? {}, cookieName, Math.min(idleTimeout, absoluteTimeout)),
    secret: options.secret ?? null,
    generateId,
    serializer: options.serializer ?? jsonSerializer,
    saveOnError: options.saveOnError ?? ((_error, statusCode) => statusCode < 500),
    cleanupInterval: options.cleanupInterval ?? 5 * MINUTE,
    maxRecordSize: options.maxRecordSize ?? 1024 * 1024,
    cacheHeaders: options.cacheHeaders ?? true,
    decoratorName: options.decoratorName ?? 'session',
    // Looked up at each call, so that a test may replace Date.now.
    now: options.now ?? (() => Date.now()),
    // There is no store from which an id could leak.
    hashIds: store.carrier === undefined
  }
}

function withoutUndefined<T extends object> (options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T
}
