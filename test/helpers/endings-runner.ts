// Runs one way to end a request, then checks what must be true after every way.
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest, type FastifyServerOptions, type RouteShorthandOptions } from 'fastify'
import sessionPlugin, { type SessionPluginOptions, type Store } from '../../lib/index.js'
import { generateSessionId, keyOf } from '../../lib/session/id.js'
import { AwaitedStore, type StoreCall } from './awaited-store.js'
import { type Client, type ClientRequest, connectTo, type Exchange, type Heard, type TransportName } from './endings-clients.js'
import { LeaseLedger } from './lease-ledger.js'

/** One way in which a request can end, and what must come of it. */
export interface Way {
  name: string
  /** What the client sees; null: no answer. An object names the only transports on which this way exists. */
  status: number | null | Partial<Record<TransportName, number | null>>
  /** Where the way does not exist, and why. */
  missing?: string
  /** What the client may see as well, because two things race. */
  orStatus?: number | null
  /** Whether the change that the request made to `n` is in the store afterwards. */
  saved: boolean
  /**
   * The same for a visitor who had no session; null: the way needs one. 'unseen': it is stored, and the cookie does not
   * reach the client. Without an answer nothing is stored for him.
   */
  newcomer?: boolean | 'unseen' | null
  /** The cookie of a newcomer leaves before the store has said that his session is stored. */
  createsLate?: boolean
  /** How often the handler runs; default: whatever. */
  handled?: number
  /** What another request of the session gets afterwards. Default 200. */
  nextStatus?: number
  /** The handler of GET, HEAD and POST /way. */
  handler?: (request: FastifyRequest, reply: FastifyReply, scene: Scene) => unknown
  route?: RouteShorthandOptions
  /** Registered before the session plugin. */
  earlier?: (app: FastifyInstance, scene: Scene) => void
  /** Registered after it. */
  later?: (app: FastifyInstance, scene: Scene) => void
  /** What the client does; by default it sends one request and waits. */
  client?: (scene: Scene) => Promise<Heard>
  server?: FastifyServerOptions
  plugin?: SessionPluginOptions
  /** What the store does when it is called; it may wait, or throw. */
  store?: (call: StoreCall, scene: Scene) => Promise<unknown> | undefined
  /** The same for a store that answers at once; it may throw. */
  storeAtOnce?: (call: StoreCall, scene: Scene) => void
  /** The application is closed, so no other request can follow. */
  closes?: boolean
  /** For how long the lock may still be held, in ms. */
  bound?: number
}

export class Scene {
  app!: FastifyInstance
  client!: Client
  /** The visitor's cookie. */
  cookie: string | null = null
  key: string | null = null
  /** The handler has come to the point that the way is about. */
  reached = new Gate()
  /** The handler may go on. */
  goOn = new Gate()
  /** How often the handler began. */
  handled = 0
  /** The code of the error that a write was refused with. */
  refused: string | null = null
  /** Store calls that have failed on purpose; each fails once. */
  readonly failed = new Set<string>()
  /** To be done when the way has been checked. */
  readonly atEnd: (() => void)[] = []

  send (request: Partial<ClientRequest> = {}): Exchange {
    const { path = '/way', headers, ...rest } = request
    const cookie = this.cookie === null ? {} : { cookie: this.cookie }
    return this.client.send({ path, headers: { ...cookie, ...headers }, ...rest })
  }

  /** As a store: fails the first time. */
  failOnce (call: StoreCall): void {
    if (this.failed.has(call)) return
    this.failed.add(call)
    throw new Error('This store fails on purpose')
  }

  /** Sends a request, waits until its handler has come to the point, and leaves. */
  async leaveAtPoint (request?: Partial<ClientRequest>, what?: 'request' | 'connection'): Promise<Heard> {
    const exchange = this.send(request)
    await this.reached.passed
    exchange.leave(what)
    return await exchange.heard
  }

  /** Keeps the visitor's lock while `during` runs. */
  async whileLocked<T> (during: () => Promise<T>): Promise<T> {
    return await this.app.sessions.with(this.cookie ?? '', during)
  }

  /** Waits until a request waits for the lock. */
  async someoneWaits (): Promise<void> {
    await until(() => this.app.sessions.stats().locks.waiting > 0)
  }
}

export class Gate {
  open!: (value?: unknown) => void
  readonly passed = new Promise(resolve => { this.open = resolve })
}

/** The change that each request makes. */
export function count (request: FastifyRequest): number {
  const n = request.session.get('n', 0) + 1
  request.session.set('n', n)
  return n
}

/** Resolves when the connection of the reply has ended and everybody has been told. */
export async function gone (reply: FastifyReply): Promise<void> {
  const { raw } = reply
  if (!raw.destroyed && (raw as { closed?: boolean }).closed !== true) await new Promise(resolve => raw.once('close', resolve))
  await pause(5)
}

export async function pause (ms: number): Promise<void> {
  await new Promise(resolve => setTimeout(resolve, ms))
}

export async function until (condition: () => boolean | Promise<boolean>, bound = 2000): Promise<boolean> {
  const deadline = performance.now() + bound
  while (!await condition()) {
    if (performance.now() > deadline) return false
    await pause(2)
  }
  return true
}

/** A request of the session must be answered within so many ms after the way has ended. Generous: the machine is busy. */
const AT_ONCE = 1500
const COOKIE = 'sessionId'

/** Returns what was wrong, in words; nothing if nothing was. */
export async function runWay (way: Way, transport: TransportName, makeStore: () => Store): Promise<string[]> {
  const problems: string[] = []
  const newcomers = way.newcomer === null ? [false] : [false, true]
  if (way.closes === true) {
    for (const isNew of newcomers) await once([isNew])
  } else {
    await once(newcomers)
  }
  return problems

  async function once (visitors: boolean[]): Promise<void> {
    const scene = new Scene()
    const inner = makeStore()
    const { store: calls } = way
    const ledger = new LeaseLedger(calls === undefined
      ? inner
      : new AwaitedStore(inner, async (call, side) => { if (side === 'before') await calls(call, scene) }))
    const { storeAtOnce } = way
    if (storeAtOnce !== undefined) ledger.onCall = call => storeAtOnce(call, scene)
    await build(way, transport, ledger, scene)
    try {
      for (const isNew of visitors) {
        for (const problem of await visit(way, transport, inner, ledger, scene, isNew)) {
          problems.push(`${isNew ? 'newcomer' : 'visitor'}: ${problem}`)
        }
      }
    } finally {
      if (await within(15_000, scene.app.close().then(() => true)) === null) problems.push('app.close() did not end within 15 s')
    }
    if (ledger.out !== 0) problems.push(`${ledger.out} leases were never ended`)
    if (ledger.endedTwice !== 0) problems.push(`${ledger.endedTwice} leases were ended twice`)
    if (ledger.writtenAfterClose !== 0) problems.push(`${ledger.writtenAfterClose} writes after the store was closed`)
    if (ledger.overlaps !== 0) problems.push(`${ledger.overlaps} leases overlapped`)
  }
}

async function build (way: Way, transport: TransportName, store: Store, scene: Scene): Promise<void> {
  const http2 = transport === 'HTTP/2' ? { http2: true } : {}
  const app: FastifyInstance = Fastify({ ...http2, forceCloseConnections: true, ...way.server } as FastifyServerOptions) as FastifyInstance
  scene.app = app
  way.earlier?.(app, scene)
  await app.register(sessionPlugin, { store, touchInterval: 0, cleanupInterval: 0, lockTimeout: 4000, ...way.plugin })
  way.later?.(app, scene)
  const handler = way.handler ?? ((request) => ({ n: count(request) }))
  app.route({
    method: ['GET', 'POST'],
    url: '/way',
    ...way.route,
    handler (request, reply) {
      scene.handled++
      return handler(request, reply, scene)
    }
  })
  app.get('/next', (request) => ({ n: request.session.get('n', 0) }))
  scene.client = await connectTo(app, transport)
}

async function visit (way: Way, transport: TransportName, inner: Store, ledger: LeaseLedger, scene: Scene, isNew: boolean): Promise<string[]> {
  const problems: string[] = []
  scene.reached = new Gate()
  scene.goOn = new Gate()
  scene.handled = 0
  scene.refused = null
  scene.failed.clear()
  scene.cookie = scene.key = null
  const stored = await inner.count()
  if (!isNew) await seed(inner, scene)

  const heard = await within(5000, way.client === undefined ? scene.send().heard : way.client(scene))
  if (heard === null) return ['the client got no end of it within 5 s']
  const status = statusOf(way, transport)
  if (heard.status !== status && !(way.orStatus !== undefined && heard.status === way.orStatus)) problems.push(`the client saw ${heard.status}, not ${status}: ${heard.body.slice(0, 200)}`)

  const ours = heard.setCookie.filter(cookie => cookie.startsWith(`${COOKIE}=`))
  if (ours.length > 1) problems.push(`${ours.length} cookies of ours`)
  const newcomer = way.newcomer ?? (way.saved && status !== null)
  const saved = isNew ? newcomer !== false : way.saved
  const n = saved ? 1 : 0
  const given = /^sessionId=([^;]+)/.exec(ours[0] ?? '')?.[1]
  if (isNew && given !== undefined) {
    scene.cookie = `${COOKIE}=${given}`
    scene.key = keyOf('sessionId', given)
    const { key } = scene
    if (way.createsLate === true) await until(async () => await inner.read(key) !== null)
  }
  if (way.handled !== undefined && scene.handled !== way.handled) problems.push(`the handler ran ${scene.handled} times, not ${way.handled}`)

  if (way.closes !== true) {
    const begun = performance.now()
    const next = await within(AT_ONCE + (way.bound ?? 0), scene.send({ path: '/next' }).heard)
    const took = Math.round(performance.now() - begun)
    if (next === null) problems.push(`the next request was not served within ${AT_ONCE} ms`)
    else if (next.status !== (way.nextStatus ?? 200)) problems.push(`the next request got ${next.status} after ${took} ms: ${next.body}`)
    else if (next.status === 200 && !(isNew && scene.cookie === null) && next.body !== JSON.stringify({ n })) problems.push(`the next request read ${next.body}, not n = ${n}`)
  }

  const { locks } = scene.app.sessions.stats()
  if (!await until(() => {
    const now = scene.app.sessions.stats().locks
    Object.assign(locks, now)
    return now.held === 0 && now.waiting === 0 && now.acquired === now.released && ledger.out === 0
  })) problems.push(`locks: ${locks.acquired} acquired, ${locks.released} released, ${locks.held} held, ${locks.waiting} waited for, ${ledger.out} leases out`)

  const record = scene.key === null ? null : await inner.read(scene.key)
  if (scene.key !== null) {
    const found = record === null ? undefined : JSON.parse(String(record.data)).n ?? 0
    if (found !== n) problems.push(`the store has n = ${found}, not ${n}`)
  }
  const expected = stored + (isNew && !saved ? 0 : 1)
  let sessions = 0
  // A save that its client did not wait for may still be under way.
  await until(async () => (sessions = await inner.count()) === expected, 300)
  if (sessions !== expected) problems.push(`the store has ${sessions - stored} sessions more, not ${expected - stored}`)
  if (isNew && saved && newcomer !== 'unseen' && given === undefined) problems.push('the newcomer was given no cookie')
  if (isNew && !saved && given !== undefined) problems.push('the newcomer was given a cookie for nothing')
  for (const action of scene.atEnd.splice(0)) action()
  return problems
}

async function seed (store: Store, scene: Scene): Promise<void> {
  const id = generateSessionId()
  const now = Date.now()
  scene.cookie = `${COOKIE}=${id}`
  scene.key = keyOf('sessionId', id)
  await store.create(scene.key, { data: '{"n":0}', user: null, createdAt: now, lastAccessedAt: now, expiresAt: now + 60_000 })
}

export function transportsOf (way: Way): TransportName[] {
  return typeof way.status === 'object' && way.status !== null
    ? Object.keys(way.status) as TransportName[]
    : ['HTTP/1.1', 'HTTP/2', 'inject']
}

function statusOf (way: Way, transport: TransportName): number | null {
  return typeof way.status === 'object' && way.status !== null ? way.status[transport] ?? null : way.status
}

async function within<T> (bound: number, work: Promise<T>): Promise<T | null> {
  let timer
  const late = new Promise<null>(resolve => { timer = setTimeout(resolve, bound, null) })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
