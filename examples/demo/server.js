// Starts the demo on loopback: PORT (default 3000) and SESSIONS (default ./sessions) may be set.
// @ts-check
import { resolve } from 'node:path'
import { buildDemo } from './app.js'

const HOST = '127.0.0.1'
const DEFAULT_PORT = 3000
const MAX_PORT = 65535
const DOUBLE_SIGNAL_MS = 500

const directory = resolve(process.env.SESSIONS || 'sessions')
const app = buildDemo({ directory, logger: { level: 'warn' } })

let stoppedAt = 0
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, stop)

try {
  const address = await listen()
  console.log(`Demo:     ${address}`)
  console.log(`Sessions: ${directory}`)
  console.log('Stop it with Ctrl-C.')
} catch (error) {
  console.error(`The demo could not start: ${error instanceof Error ? error.message : error}`)
  process.exitCode = 1
  await app.close()
}

/** Lets running requests finish; a later second signal does not wait for them. */
async function stop () {
  if (stoppedAt) {
    // Under npm one Ctrl-C arrives twice: from the terminal and forwarded by npm.
    if (Date.now() - stoppedAt > DOUBLE_SIGNAL_MS) process.exit(1)
    return
  }
  stoppedAt = Date.now()
  try {
    await app.close()
  } catch (error) {
    console.error(error)
    process.exitCode = 1
  }
}

/** Listens on PORT and nowhere else; without PORT on the first free port from the default on. */
async function listen () {
  if (process.env.PORT) return app.listen({ host: HOST, port: parsePort(process.env.PORT) })
  for (let port = DEFAULT_PORT; ; port++) {
    try {
      return await app.listen({ host: HOST, port })
    } catch (/** @type {any} */ error) {
      if (error.code !== 'EADDRINUSE' || port === MAX_PORT) throw error
    }
  }
}

/** @param {string} text */
function parsePort (text) {
  const port = Number(text)
  if (/^\d+$/.test(text) && port <= MAX_PORT) return port
  throw new RangeError(`PORT must be a number from 0 to ${MAX_PORT}, not '${text}'`)
}
