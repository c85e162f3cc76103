// What the tests beside it know as @fastify/session is this package, as require() gives it.
import plugin = require('../../../dist/lib/compat/index.js')
export = plugin
