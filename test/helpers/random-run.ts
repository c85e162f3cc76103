// Sends random requests of helpers/session-model.ts to several servers at once, and writes down what came back.
import { setTimeout as sleep } from 'node:timers/promises'
import { type Answer, send } from './http-client.js'
import type { ServerProcess } from './server-process.js'
import type { Kind, Request } from './session-model.js'

export interface RunPlan {
  readonly random: () => number
  /** Changes while the run goes on, when servers are killed and replaced. */
  readonly servers: ServerProcess[]
  /** How many requests in all, how many at once, and among how many sessions. */
  readonly requests: number
  readonly clients: number
  readonly sessions: number
}

/** The history of one session, under all of its ids. */
export interface SessionHistory {
  readonly firstId: string
  readonly requests: Request[]
}

export interface RunReport {
  readonly histories: SessionHistory[]
  /** Answers that no request should get. */
  readonly surprises: unknown[]
}

interface LiveSession extends SessionHistory {
  /** All ids it has had, as far as they are known. */
  readonly ids: string[]
  left: number
}

const WEIGHTS: [Kind, number][] = [['append', 32], ['section', 22], ['visit', 14], ['read', 20], ['regenerate', 8], ['reset', 1], ['destroy', 1]]
const METHODS: Partial<Record<Kind, string>> = { read: 'GET', visit: 'GET' }
const REFUSALS = new Set(['FST_SESSION_LOCK_TIMEOUT', 'FST_SESSION_LOCK_QUEUE_FULL', 'FST_SESSION_CONFLICT', 'FST_SESSION_LOCK_LOST'])
/** A search takes long when a history is; so a session is left alone after so many requests. */
const REQUESTS_PER_SESSION = 120
/** Every so-manieth client leaves before the answer. */
const LEAVES = 0.03
/** Every so-manieth request comes with an id that may be out of date. */
const LATE = 0.1

export async function randomRun ({ random, servers, requests, clients, sessions }: RunPlan): Promise<RunReport> {
  const histories: SessionHistory[] = []
  const surprises: unknown[] = []
  const live: LiveSession[] = []
  let sent = 0

  const pick = <T> (items: readonly T[]): T => items[Math.floor(random() * items.length)]!

  async function begin (place: number): Promise<void> {
    const { cookie } = await send(pick(servers).port, 'POST', '/tokens/new')
    live[place] = { firstId: cookie!, ids: [cookie!], requests: [], left: REQUESTS_PER_SESSION }
    histories.push(live[place])
  }

  async function request (session: LiveSession): Promise<void> {
    const kind = weighted(random())
    const id = random() < LATE ? pick(session.ids) : session.ids.at(-1)!
    const token = String(++sent)
    const path = `/tokens/${kind}?token=${token}&work=${Math.floor(random() * 4)}`
    const leaves = random() < LEAVES ? AbortSignal.timeout(1 + Math.floor(random() * 10)) : null
    const server = pick(servers)
    const invoked = performance.now()
    let answer: Request['answer'] = null
    let responded = Infinity
    try {
      const reply = await send(server.port, METHODS[kind] ?? 'POST', path, { cookie: id, ...(leaves && { signal: leaves }) })
      responded = performance.now()
      answer = answerOf(reply)
      if (answer === null) {
        surprises.push({ kind, status: reply.status, body: reply.body })
        responded = Infinity
      }
      const isNew = answer !== null && answer !== 'refused' && answer.found && answer.newId !== null && !session.ids.includes(answer.newId)
      if (isNew) session.ids.push(reply.cookie!)
    } catch {} // The client has left, or the server was killed: nobody knows what has happened.
    session.requests.push({ kind, id, token, invoked, responded, answer })
    if (kind === 'destroy') session.left = Math.min(session.left, 5)
  }

  async function client (): Promise<void> {
    while (sent < requests) {
      const place = Math.floor(random() * sessions)
      const session = live[place]!
      if (session.left-- > 0) await request(session)
      else if (session.left === -1) await begin(place).catch(() => { session.left = 0 })
      else await sleep(1)
    }
  }

  for (let place = 0; place < sessions; place++) await begin(place)
  await Promise.all(Array.from({ length: clients }, client))
  return { histories, surprises }
}

function weighted (random: number): Kind {
  let rest = random * WEIGHTS.reduce((sum, [, weight]) => sum + weight, 0)
  return WEIGHTS.find(([, weight]) => (rest -= weight) < 0)![0]
}

/** null: an answer that should not be. */
function answerOf ({ status, body, cookie }: Answer): Request['answer'] {
  if (status !== 200) return REFUSALS.has(body.code) ? 'refused' : null
  return body.found ? { found: true, tokens: body.tokens, newId: cookie === '' ? null : cookie } : { found: false }
}
