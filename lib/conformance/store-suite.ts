// The contract of types/store.ts, sentence by sentence.
import type { ConformanceCase, ConformanceOptions } from './options.js'
import { countingCases } from './store/counting.js'
import { crowdCases } from './store/crowds.js'
import { lapsedCases } from './store/lapsed.js'
import { listingCases } from './store/listing.js'
import { lockingCases } from './store/locking.js'
import { movedCases } from './store/moved.js'
import { recordCases } from './store/records.js'
import { spoiltCases } from './store/spoilt.js'
import { waitingCases } from './store/waiting.js'

/** Tests a store by itself. */
export function storeConformance (options: ConformanceOptions): ConformanceCase[] {
  return [
    ...recordCases(options),
    ...lockingCases(options),
    ...crowdCases(options),
    ...countingCases(options),
    ...waitingCases(options),
    ...lapsedCases(options),
    ...movedCases(options),
    ...(options.listing === false ? [] : listingCases(options)),
    ...spoiltCases(options)
  ]
}
