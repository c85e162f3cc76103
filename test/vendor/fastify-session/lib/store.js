'use strict'

module.exports = require('../../../../dist/lib/compat/index.js')
