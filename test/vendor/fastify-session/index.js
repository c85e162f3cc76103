'use strict'

// What the tests beside it know as @fastify/session is this package.
module.exports = require('../../../dist/lib/compat/index.js')
