// The entry point fastify-locked-session/conformance: tests for stores, for any test runner.
export { httpConformance } from './http-suite.js'
export { storeConformance } from './store-suite.js'
export type { ConformanceCase, ConformanceOptions } from './options.js'
