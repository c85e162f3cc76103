// One option is checked by one small function that says what it expected.
import { InvalidOptionError } from '../errors.js'

/** Returns what was expected, or null when the value is fine. */
export type Check = (value: unknown) => string | null

export const duration: Check = (value) =>
  isNumber(value) && value >= 0 && Number.isFinite(value) ? null : 'must be a number of milliseconds, 0 or more'

export const positiveDuration: Check = (value) =>
  isNumber(value) && value > 0 && Number.isFinite(value) ? null : 'must be a number of milliseconds above 0'

export const durationOrInfinity: Check = (value) =>
  isNumber(value) && value >= 0 ? null : 'must be a number of milliseconds, or Infinity'

export const count: Check = (value) =>
  isNumber(value) && value >= 0 && (Number.isInteger(value) || value === Infinity) ? null : 'must be a whole number, 0 or more, or Infinity'

export const size: Check = (value) =>
  isNumber(value) && value > 0 && Number.isInteger(value) ? null : 'must be a whole number of bytes above 0'

export const boolean: Check = (value) => typeof value === 'boolean' ? null : 'must be true or false'

export const func: Check = (value) => typeof value === 'function' ? null : 'must be a function'

export const oneOf = (...allowed: unknown[]): Check => (value) =>
  allowed.includes(value) ? null : `must be one of ${allowed.map(item => JSON.stringify(item)).join(', ')}`

export const objectWith = (...methods: string[]): Check => (value) =>
  isObject(value) && methods.every(method => typeof value[method] === 'function')
    ? null
    : `must be an object with ${methods.map(method => `${method}()`).join(', ')}`

/** Refuses unknown names and wrong values, naming the option. `undefined` counts as not given, which `required` ones must be. */
export function checkAll (options: unknown, checks: Record<string, Check>, prefix = '', required: readonly string[] = []): void {
  if (!isObject(options)) throw new InvalidOptionError(prefix === '' ? 'options' : prefix.slice(0, -1), 'must be an object')
  for (const [name, value] of Object.entries(options)) {
    const check = Object.hasOwn(checks, name) ? checks[name] : undefined
    if (check === undefined) {
      throw new InvalidOptionError(prefix + name, `is unknown; the options are ${Object.keys(checks).join(', ')}`)
    }
    const expected = value === undefined ? null : check(value)
    if (expected !== null) throw new InvalidOptionError(prefix + name, expected)
  }
  for (const name of required) {
    if (options[name] === undefined) throw new InvalidOptionError(prefix + name, checks[name]!(undefined) ?? 'must be given')
  }
}

export function isObject (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isNumber (value: unknown): value is number {
  return typeof value === 'number' && !Number.isNaN(value)
}
