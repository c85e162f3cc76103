'use strict'

const { generateSessionId } = require('../../../../dist/lib/session/id.js')

module.exports = () => generateSessionId
