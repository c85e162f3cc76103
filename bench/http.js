import { compareServers } from './lib/compare-servers.js'
import { main } from './lib/main.js'

const titles = {
  bare: 'bare Fastify, no session',
  memory: 'locked, memory store',
  'memory-signed': 'locked, memory store, signed cookie',
  file: 'locked, file store',
  'fastify-session': '@fastify/session, memory',
  'session-file-store': '@fastify/session, session-file-store'
}

/** [ours, the other, what the ratio is of, its target]; all ratios are "how many times better". */
const targets = [
  ['memory', 'bare', 'cpu', 0.75],
  ['memory', 'fastify-session', 'cpu', 2.75],
  ['file', 'bare', 'cpu', 0.5],
  ['file', 'fastify-session', 'cpu', 1.75],
  ['file', 'session-file-store', 'requestsPerSecond', 40]
]

await main(async () => await compareServers({ titles, targets }))
