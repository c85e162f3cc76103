import { setImmediate as turn } from 'node:timers/promises'
import Fastify from 'fastify'
import sessionPlugin, { MemoryStore } from 'fastify-locked-session'
import { FileStore } from 'fastify-locked-session/file'
import { answer } from '../lib/answer.js'

let app
let cookie
let id
let gate
let passed

async function start ({ directory }) {
  const store = directory === undefined ? new MemoryStore() : new FileStore({ directory })
  app = Fastify()
  await app.register(sessionPlugin, { store, cookie: { secure: false }, lockTimeout: 600_000, maxWaiters: 1_000_000 })
  app.get('/locked', count)
  app.get('/bare', { config: { session: false } }, async () => {
    await gate?.opened
    passed++
    return {}
  })
  await app.ready()
  cookie = (await app.inject('/locked')).headers['set-cookie'].split(';', 1)[0]
  id = cookie.slice(cookie.indexOf('=') + 1)
}

async function count (request) {
  request.session.set('n', request.session.get('n', 0) + 1)
  passed++
  return {}
}

/** Ways of waiting: for the lock by the manager, for the lock in a request, for nothing of ours in a request. */
const ways = {
  manager: () => app.sessions.with(id, increment),
  locked: () => app.inject({ url: '/locked', headers: { cookie } }),
  bare: () => app.inject({ url: '/bare', headers: { cookie } })
}

function increment (session) {
  session.set('n', session.get('n') + 1)
  passed++
}

function newGate () {
  const gate = {}
  gate.opened = new Promise((resolve) => { gate.open = resolve })
  return gate
}

async function heapUsed () {
  for (let i = 0; i < 5; i++) await turn()
  globalThis.gc()
  await turn()
  globalThis.gc()
  return process.memoryUsage().heapUsed
}

/** Bytes of heap per waiter while somebody holds the session. */
async function measure ({ way, waiters }) {
  gate = newGate()
  passed = 0
  const begun = newGate()
  const holder = app.sessions.with(id, async () => {
    begun.open()
    await gate.opened
  })
  await begun.opened
  const waiting = new Array(waiters).fill(undefined)
  const before = await heapUsed()
  for (let i = 0; i < waiters; i++) waiting[i] = ways[way]()
  const after = await heapUsed()
  if (passed > 0) throw new Error(`${passed} did not wait`)
  gate.open()
  await holder
  await Promise.all(waiting)
  if (passed !== waiters) throw new Error(`${passed} of ${waiters} came through`)
  return (after - before) / waiters
}

answer({ start, measure })
