// The rules of the plugin, over HTTP, on the store under test. Each case begins with the number of its rule.
import { cleanupCases } from './http/cleanup.js'
import { cookieCases } from './http/cookies.js'
import { encodingCases } from './http/encoding.js'
import { expiryCases } from './http/expiry.js'
import { failureCases } from './http/failures.js'
import { frozenCases } from './http/frozen.js'
import { givingUpCases } from './http/giving-up.js'
import { identityCases } from './http/identity.js'
import { lockingCases } from './http/locking.js'
import { modeCases } from './http/modes.js'
import { noSessionCases } from './http/no-session.js'
import { regenerateCases } from './http/regenerate.js'
import { releaseCases } from './http/release.js'
import { resurrectionCases } from './http/resurrection.js'
import { savingCases } from './http/saving.js'
import { sectionCases } from './http/sections.js'
import { waitingCases } from './http/waiting.js'
import type { ConformanceCase, ConformanceOptions } from './options.js'

/** Tests the plugin on a store. */
export function httpConformance (options: ConformanceOptions): ConformanceCase[] {
  return [
    ...lockingCases(options),
    ...modeCases(options),
    ...sectionCases(options),
    ...releaseCases(options),
    ...waitingCases(options),
    ...givingUpCases(options),
    ...savingCases(options),
    ...resurrectionCases(options),
    ...noSessionCases(options),
    ...encodingCases(options),
    ...failureCases(options),
    ...frozenCases(options),
    ...identityCases(options),
    ...regenerateCases(options),
    ...expiryCases(options),
    ...cookieCases(options),
    ...cleanupCases(options)
  ]
}
