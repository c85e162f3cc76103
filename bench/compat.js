import { compareServers } from './lib/compare-servers.js'
import { main } from './lib/main.js'

const titles = {
  compat: 'locked, compat, memory',
  'fastify-session': '@fastify/session, memory'
}

/** The drop-in does more; it must not cost more. */
const targets = [
  ['compat', 'fastify-session', 'cpu', 1]
]

await main(async () => await compareServers({ titles, targets }))
