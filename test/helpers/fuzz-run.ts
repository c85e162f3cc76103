// One run of the fuzz: an application with every behaviour, a crowd of clients, and the oracle's verdict.
import Fastify, { type FastifyBaseLogger, type FastifyInstance, type FastifyReply, type FastifyRequest, type FastifyServerOptions } from 'fastify'
import type { AddressInfo, Socket } from 'node:net'
import sessionPlugin, { type LockStats, type SessionPluginOptions, type Store } from '../../lib/index.js'
import { generateSessionId, keyOf } from '../../lib/session/id.js'
import { pause, until } from './endings-runner.js'
import { type Behaviour, behaviours, type Play } from './fuzz-behaviours.js'
import { type FuzzAnswer, type FuzzClients, http1Clients, http2Clients } from './fuzz-clients.js'
import { Oracle } from './fuzz-oracle.js'
import { LeaseLedger } from './lease-ledger.js'
import { ProcessWatch } from './process-watch.js'
import { seededRandom } from './seeded-random.js'

export interface FuzzOptions {
  seed: number
  requests: number
  store: Store
  http2?: boolean
  /** Registers another session plugin than ours, which knows only what `plain` behaviours need. */
  plugin?: (app: FastifyInstance, store: Store) => Promise<void>
  sessions?: number
  crowd?: number
}

export interface FuzzReport {
  requests: number
  /** Whole answers that clients got. */
  answered: number
  /** Writes that must be in the store at the end, and writes that must not. */
  kept: number
  dropped: number
  refused: number
  strays: number
  locks: LockStats
  /** What went wrong, and how often. Empty if nothing did. */
  problems: Record<string, number>
}

export async function fuzz (options: FuzzOptions): Promise<FuzzReport> {
  const watch = new ProcessWatch()
  const random = seededRandom(options.seed)
  const oracle = new Oracle()
  const ledger = new LeaseLedger(options.store)
  ledger.onWritten = (_key, record) => oracle.accepted(record)
  const chosen = behaviours.filter(behaviour =>
    (options.plugin === undefined || behaviour.plain === true) &&
    (options.http2 !== true || behaviour.notOnHttp2 === undefined))
  const app = await build(options, ledger, oracle, chosen, random)
  const sockets = new Set<Socket>()
  app.server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })

  for (let i = 0; i < (options.sessions ?? 12); i++) {
    const id = generateSessionId()
    const now = Date.now()
    const name = `s${i}`
    await options.store.create(keyOf('sessionId', id), { data: JSON.stringify({ owner: name, n: 0, tokens: [] }), user: null, createdAt: now, lastAccessedAt: now, expiresAt: now + 600_000 })
    oracle.add(name, `sessionId=${id}`)
  }

  const { port } = app.server.address() as AddressInfo
  const clients = options.http2 === true ? http2Clients(port, random) : http1Clients(port)
  let answered = 0
  let left = options.requests
  const newcomers: { cookie: string, token: string }[] = []
  await Promise.all(Array.from({ length: options.crowd ?? 48 }, async () => {
    while (left-- > 0) {
      if (options.plugin === undefined && random() < 0.05) {
        const newcomer = await visitAsNewcomer(clients, random)
        if (newcomer !== null) newcomers.push(newcomer)
      } else if (await visit(clients, oracle, chosen, random)) {
        answered++
      }
    }
  }))
  clients.close()

  const stats = () => app.sessions.stats().locks
  const isQuiet = () => stats().held === 0 && stats().waiting === 0 && stats().acquired === stats().released && ledger.out === 0
  if (!await until(isQuiet, 3000)) {
    const { acquired, released, held, waiting } = stats()
    oracle.report(`stuck: ${acquired - released} locks not released, ${held} held, ${waiting} waited for, ${ledger.out} leases out`)
  }
  await pause(20) // Callbacks that answer nobody.
  if (ledger.endedTwice > 0) oracle.report(`${ledger.endedTwice} leases ended twice`)
  if (ledger.overlaps > 0) oracle.report(`${ledger.overlaps} leases overlapped`)
  for (const name of oracle.names) {
    const record = await options.store.read(keyOf('sessionId', oracle.cookieOf(name).replace('sessionId=', '')))
    oracle.check(name, record === null ? null : JSON.parse(String(record.data)))
  }
  for (const { cookie, token } of newcomers) {
    const record = await options.store.read(keyOf('sessionId', cookie))
    if (record === null || JSON.parse(String(record.data)).token !== token) oracle.report('a newcomer was given a cookie, and his session is not stored')
  }

  const locks = stats()
  // Node 20 forgets the socket of an HTTP/2 session whose client was cut off, also without any plugin.
  for (const socket of sockets) socket.destroy()
  await app.close()
  for (const problem of await watch.end()) oracle.report(problem)
  return {
    requests: options.requests,
    answered,
    kept: oracle.tokens.filter(token => token.fate === 'kept').length,
    dropped: oracle.tokens.filter(token => token.fate === 'dropped').length,
    refused: oracle.refused,
    strays: oracle.strays,
    locks,
    problems: Object.fromEntries(oracle.problems)
  }
}

const OPTIONS: SessionPluginOptions = { touchInterval: 0, cleanupInterval: 0, maxHold: 30_000, lockTimeout: 20_000, maxWaiters: 1000 }

async function build (options: FuzzOptions, store: Store, oracle: Oracle, chosen: Behaviour[], random: () => number): Promise<FastifyInstance> {
  const http2 = options.http2 === true ? { http2: true } : {}
  const app = Fastify({ ...http2, forceCloseConnections: true, loggerInstance: listeningLogger(oracle) } as unknown as FastifyServerOptions) as FastifyInstance

  // Other plugins: some are slow, some fail, before ours and after.
  const slowly = async (request: FastifyRequest, where: string) => {
    if (request.headers['x-slow'] === where) await pause(random() * 10)
  }
  const rarely = (request: FastifyRequest, where: string) => {
    if (request.headers['x-fail'] === where) throw new Error('on purpose')
  }
  app.addHook('onRequest', async (request) => { await slowly(request, 'before onRequest') })
  app.addHook('onSend', async (request) => {
    rarely(request, 'earlier')
    await slowly(request, 'before onSend')
  })
  if (options.plugin === undefined) await app.register(sessionPlugin, { ...OPTIONS, store })
  else await options.plugin(app, store)
  app.addHook('onRequest', async (request) => { await slowly(request, 'after onRequest') })
  app.addHook('preHandler', async (request) => { await slowly(request, 'preHandler') })
  app.addHook('onSend', async (request) => {
    rarely(request, 'later')
    await slowly(request, 'after onSend')
  })

  const rest = () => pause(random() * random() * 8)
  app.setNotFoundHandler(async (_request, reply) => { await rest(); return reply.code(404).send('no') })
  app.get('/newcomer', async (request) => {
    await rest()
    request.session.set('token', request.headers['x-token'])
    await rest()
    return 'x'
  })
  for (const { name: kind, route, handler } of chosen) {
    app.route({
      method: ['GET', 'POST'],
      url: pathOf(kind),
      ...route,
      handler (request: FastifyRequest, reply: FastifyReply) {
        const name = String(request.headers['x-session'])
        const play: Play = { oracle, name, kind, rest }
        oracle.enter(name, request)
        reply.raw.on('close', () => setTimeout(() => oracle.leave(name, request), 200))
        return handler(request, reply, play)
      }
    })
  }
  await app.listen({ port: 0, host: '127.0.0.1' })
  return app
}

const SLOW_HOOKS = ['before onRequest', 'before onSend', 'after onRequest', 'preHandler', 'after onSend']

async function visit (clients: FuzzClients, oracle: Oracle, chosen: Behaviour[], random: () => number): Promise<boolean> {
  const name = pick(oracle.names, random)
  const behaviour = pickWeighted(chosen, random)
  const body = random() < 0.2 ? pick(['{"a":1}', '{"a":'], random) : undefined
  const answer = await clients.send({
    path: pathOf(behaviour.name),
    headers: {
      cookie: oracle.cookieOf(name),
      'x-session': name,
      'x-floor': String(oracle.floorOf(name)),
      ...random() < 0.15 ? { 'x-slow': pick(SLOW_HOOKS, random) } : {},
      ...body === undefined ? {} : { 'content-type': 'application/json' }
    },
    body,
    leaveAfter: behaviour.leaves === true || random() < 0.5 ? random() * random() * 40 : undefined
  })
  if (answer === null) return false
  if (ours(answer).length > 1) oracle.report('more than one cookie of ours')
  if (answer.status === 200 && answer.body.startsWith('{"n":')) {
    const { n } = JSON.parse(answer.body) as { n: number | null }
    if (n !== null) oracle.told(name, n)
  }
  return true
}

async function visitAsNewcomer (clients: FuzzClients, random: () => number): Promise<{ cookie: string, token: string } | null> {
  const token = String(random())
  const answer = await clients.send({
    path: '/newcomer',
    headers: { 'x-token': token, ...random() < 0.15 ? { 'x-slow': pick(SLOW_HOOKS, random) } : {} },
    leaveAfter: random() < 0.5 ? random() * 20 : undefined
  })
  if (answer === null) return null
  const cookie = /^sessionId=([^;]+)/.exec(ours(answer)[0] ?? '')?.[1]
  return { cookie: cookie ?? 'none at all', token }
}

function pathOf (kind: string): string {
  return `/${kind.replace(/\W+/g, '-')}`
}

function ours ({ setCookie }: FuzzAnswer): string[] {
  return setCookie.filter(cookie => cookie.startsWith('sessionId='))
}

function pick<T> (from: readonly T[], random: () => number): T {
  return from[Math.floor(random() * from.length)]!
}

function pickWeighted (from: Behaviour[], random: () => number): Behaviour {
  const weightOf = (behaviour: Behaviour) => behaviour.weight ?? 10
  let at = random() * from.reduce((sum, behaviour) => sum + weightOf(behaviour), 0)
  return from.find(behaviour => (at -= weightOf(behaviour)) < 0) ?? from[0]!
}

/** Errors that must not happen here, whoever they are shown to. */
const UNEXPECTED = /^FST_SESSION_(?!COMMITTED|NOT_SERIALIZABLE)|^TypeError|^RangeError|^ReferenceError/

function listeningLogger (oracle: Oracle): FastifyBaseLogger {
  const listen = (details: unknown, message?: string) => {
    const { err } = details as { err?: Error & { code?: string } }
    const code = err?.code ?? err?.name ?? ''
    const isLateSave = message?.includes('could not be saved after its reply') === true && code !== 'FST_SESSION_NOT_SERIALIZABLE'
    if (isLateSave || UNEXPECTED.test(code)) oracle.report(`in the log: ${code.startsWith('FST_SESSION') ? code : err?.stack}`)
  }
  const silent = () => {}
  const logger = { level: 'warn', fatal: listen, error: listen, warn: listen, info: listen, debug: silent, trace: silent, silent, child: () => logger }
  return logger as unknown as FastifyBaseLogger
}
