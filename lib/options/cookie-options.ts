// Checks the attributes of the session cookie. Browsers drop a cookie that breaks these rules without a word,
// so they are checked when the plugin is registered.
import type { SessionCookieOptions } from '../../types/options.js'
import { InvalidOptionError } from '../errors.js'
import { boolean, checkAll, type Check, oneOf } from './check.js'

const MAX_LIFETIME = 400 * 24 * 60 * 60 * 1000 // RFC 6265bis: browsers cap cookies at 400 days.

export type ResolvedCookieOptions = SessionCookieOptions & { path: string, httpOnly: boolean, secure: boolean | 'auto', persistent: boolean }

// No control characters, no semicolon: they would end the attribute.
// eslint-disable-next-line no-control-regex
const attribute: Check = (value) => typeof value === 'string' && value.length > 0 && !/[\u0000-\u001f\u007f;]/.test(value)
  ? null
  : 'must be a text without ";"'

const checks: Record<keyof SessionCookieOptions, Check> = {
  path: (value) => attribute(value) ?? ((value as string).startsWith('/') ? null : 'must begin with "/"'),
  domain: attribute,
  httpOnly: boolean,
  secure: oneOf(true, false, 'auto'),
  sameSite: oneOf('strict', 'lax', 'none', true, false),
  partitioned: boolean,
  priority: oneOf('low', 'medium', 'high'),
  persistent: boolean
}

export function resolveCookieOptions (given: SessionCookieOptions, name: string, lifetime: number): ResolvedCookieOptions {
  checkAll(given, checks, 'cookie.')
  const options = { path: '/', httpOnly: true, sameSite: 'lax' as const, secure: 'auto' as const, persistent: true, ...given }
  const prefix = name.toLowerCase()
  const secureOnly = options.secure === true
  if (prefix.startsWith('__secure-') && !secureOnly) {
    throw new InvalidOptionError('cookie.secure', 'must be true for a cookie name that begins with __Secure-')
  }
  if (prefix.startsWith('__host-')) {
    if (!secureOnly) throw new InvalidOptionError('cookie.secure', 'must be true for a cookie name that begins with __Host-')
    if (options.domain !== undefined) throw new InvalidOptionError('cookie.domain', 'must not be given for a cookie name that begins with __Host-')
    if (options.path !== '/') throw new InvalidOptionError('cookie.path', 'must be "/" for a cookie name that begins with __Host-')
  }
  if (options.sameSite === 'none' && !secureOnly) throw new InvalidOptionError('cookie.sameSite', '"none" needs cookie.secure: true')
  if (options.partitioned === true && !secureOnly) throw new InvalidOptionError('cookie.partitioned', 'needs cookie.secure: true')
  if (options.persistent && lifetime > MAX_LIFETIME) {
    throw new InvalidOptionError('idleTimeout', 'gives a cookie of more than 400 days, which browsers cut off; shorten it or absoluteTimeout, or set cookie.persistent: false')
  }
  return options
}
