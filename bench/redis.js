import { compareServers } from './lib/compare-servers.js'
import { handOver } from './lib/hand-over.js'
import { main } from './lib/main.js'
import { withRedis } from './lib/services.js'

const titles = {
  redis: 'locked, Redis store',
  'connect-redis': '@fastify/session, connect-redis',
  phpredis: "@fastify/session, phpredis' commands",
  laravel: "@fastify/session, Laravel's commands",
  'laravel-bare': "Laravel's commands, no session"
}

const targets = [
  ['redis', 'connect-redis', 'cpu', 1.5],
  ['redis', 'phpredis', 'cpu', 1.5],
  ['redis', 'laravel', 'cpu', 1.5]
]

await main(() => withRedis(async (port) => [
  ...await compareServers({ titles, targets, settings: { port } }),
  ...await handOver({ settings: { contestant: 'redis', port }, title: 'hand-over on Redis', atMost: 1.3 })
]))
