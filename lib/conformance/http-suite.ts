// The rules of the plugin, over HTTP, on the store under test. Each case begins with the number of its rule.
import { changeCases } from './http/changes.js'
import { cleanupCases } from './http/cleanup.js'
import { cookieCases } from './http/cookies.js'
import { encodingCases } from './http/encoding.js'
import { expiryCases } from './http/expiry.js'
import { explicitCases } from './http/explicit.js'
import { failedSaveCases } from './http/failed-saves.js'
import { frozenCases } from './http/frozen.js'
import { givingUpCases } from './http/giving-up.js'
import { identityCases } from './http/identity.js'
import { lateCases } from './http/late.js'
import { lockingCases } from './http/locking.js'
import { modeCases } from './http/modes.js'
import { nestingCases } from './http/nesting.js'
import { noSessionCases } from './http/no-session.js'
import { outOfReachCases } from './http/out-of-reach.js'
import { overtakenCases } from './http/overtaken.js'
import { regenerateCases } from './http/regenerate.js'
import { releaseCases } from './http/release.js'
import { resurrectionCases } from './http/resurrection.js'
import { sectionCases } from './http/sections.js'
import { waitingCases } from './http/waiting.js'
import type { ConformanceCase, ConformanceOptions } from './options.js'

/** Tests the plugin on a store. */
export function httpConformance (options: ConformanceOptions): ConformanceCase[] {
  return [
    ...lockingCases(options),
    ...modeCases(options),
    ...explicitCases(options),
    ...sectionCases(options),
    ...nestingCases(options),
    ...releaseCases(options),
    ...waitingCases(options),
    ...givingUpCases(options),
    ...overtakenCases(options),
    ...resurrectionCases(options),
    ...changeCases(options),
    ...noSessionCases(options),
    ...encodingCases(options),
    ...outOfReachCases(options),
    ...frozenCases(options),
    ...lateCases(options),
    ...failedSaveCases(options),
    ...identityCases(options),
    ...regenerateCases(options),
    ...expiryCases(options),
    ...cookieCases(options),
    ...cleanupCases(options)
  ]
}
