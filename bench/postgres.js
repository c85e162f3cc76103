import { compareServers } from './lib/compare-servers.js'
import { handOver } from './lib/hand-over.js'
import { main } from './lib/main.js'
import { withPostgres } from './lib/services.js'

const titles = {
  postgres: 'locked, PostgreSQL store',
  'connect-pg-simple': '@fastify/session, connect-pg-simple'
}

const targets = [['postgres', 'connect-pg-simple', 'cpu', 1.5]]

await main(() => withPostgres(async (port) => [
  ...await compareServers({ titles, targets, settings: { port } }),
  ...await handOver({ settings: { contestant: 'postgres', port }, title: 'hand-over on PostgreSQL', atMost: 1.6 })
]))
