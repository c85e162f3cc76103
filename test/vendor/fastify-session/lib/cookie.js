'use strict'

const { Cookie } = require('../../../../dist/lib/compat/cookie.js')

module.exports = class extends Cookie {
  constructor (options, request) {
    super(options, request === undefined ? null : request.protocol)
  }
}
