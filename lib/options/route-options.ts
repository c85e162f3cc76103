// What a route says under `config.session` (or under `config.cart`, if the plugin is registered with
// decoratorName: 'cart'), merged with the plugin's options.
import type { FastifyRequest } from 'fastify'
import type { Locking, SessionRouteOptions } from '../../types/options.js'
import type { Store } from '../../types/store.js'
import { InvalidOptionError } from '../errors.js'
import { checkAll, type Check, durationOrInfinity, oneOf, positiveDuration } from './check.js'

export const lockingCheck: Check = oneOf('implicit', 'explicit', 'readonly')

const checks: Record<keyof SessionRouteOptions, Check> = {
  locking: lockingCheck,
  lockTimeout: durationOrInfinity,
  maxHold: positiveDuration
}

/** Throws `FST_SESSION_INVALID_OPTION` where requests are to be locked and the store cannot. */
export function assertLockable (store: Store, locking: Locking, option: string): void {
  if (store.locking !== 'none' || locking !== 'implicit') return
  throw new InvalidOptionError(option, '"implicit" needs a store that can lock, and this one cannot (its scope is "' + store.scope + '"); use "explicit" or "readonly", or another store')
}

/** How one route uses the session. */
export interface RoutePolicy {
  readonly locking: Locking
  readonly lockTimeout: number
  readonly maxWaiters: number
  readonly maxHold: number
}

/** Throws `FST_SESSION_INVALID_OPTION` for anything but `false` or known settings. */
export function checkRouteOptions (config: object | undefined, name: string, route: string, store: Store): void {
  const given = settingsIn(config, name)
  if (given === undefined || given === false) return
  if (given === true) throw new InvalidOptionError(`config.${name} of ${route}`, 'must be false or an object')
  checkAll(given, checks, `config.${name} of ${route}: `)
  const { locking } = given as SessionRouteOptions
  if (locking !== undefined) assertLockable(store, locking, `config.${name} of ${route}: locking`)
}

function settingsIn (config: object | undefined, name: string): unknown {
  return (config as Record<string, unknown> | undefined)?.[name]
}

/** Finds the policy of a request's route. Routes are merged once; the hot path is one look-up. */
export class RoutePolicies {
  readonly default: RoutePolicy
  readonly #store: Store
  readonly #merged = new WeakMap<object, RoutePolicy>()

  constructor (defaults: RoutePolicy & { readonly store: Store }, private readonly name: string) {
    this.default = defaults
    this.#store = defaults.store
  }

  /** null: the route has no session. */
  of (request: FastifyRequest): RoutePolicy | null {
    const { config, url } = request.routeOptions
    const settings = settingsIn(config, this.name)
    if (settings === undefined) return this.default
    if (settings === false) return null
    let policy = this.#merged.get(settings as object)
    if (policy === undefined) {
      // Routes declared in the same tick as the plugin never pass its onRoute hook, so they are checked here.
      checkRouteOptions(config, this.name, `${request.method} ${url ?? '(no route)'}`, this.#store)
      const given = settings as SessionRouteOptions
      policy = {
        locking: given.locking ?? this.default.locking,
        lockTimeout: given.lockTimeout ?? this.default.lockTimeout,
        maxWaiters: this.default.maxWaiters,
        maxHold: given.maxHold ?? this.default.maxHold
      }
      this.#merged.set(given, policy)
    }
    return policy
  }
}
