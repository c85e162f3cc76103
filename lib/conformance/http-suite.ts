// The rules of the plugin, over HTTP, on the store under test. Each case begins with the number of its rule.
import { givingUpCases } from './http/giving-up.js'
import { lockingCases } from './http/locking.js'
import { modeCases } from './http/modes.js'
import { releaseCases } from './http/release.js'
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
    ...givingUpCases(options)
  ]
}
