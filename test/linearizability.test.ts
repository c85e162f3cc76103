// Random requests to several processes at once, checked against what a session does one request after the other.
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { hangUp } from './helpers/http-client.js'
import { checkHistory } from './helpers/linearizability.js'
import { randomRun, type RunReport } from './helpers/random-run.js'
import { seededRandom } from './helpers/seeded-random.js'
import { ServerHost } from './helpers/server-process.js'
import { inWords, type Request, sessionModel } from './helpers/session-model.js'

/** SEED=… repeats the choices of a run, not the moments at which the machine does them. */
const seed = Number(process.env.SEED ?? Date.now() % 1_000_000)
const base = t.testdir()
const host = new ServerHost(t, base)
t.teardown(hangUp)

/** A request in short: what it does, when it began and ended, what it was answered (null: nothing), and with which id it came. */
type Sketch = [kind: Request['kind'], token: string, invoked: number, responded: number, answer: Request['answer'], id?: string]

function accepts (...sketches: Sketch[]): boolean {
  const requests = sketches.map(([kind, token, invoked, responded, answer, id = 'first']) => {
    return { kind, token, id, invoked, answer, responded: answer === null ? Infinity : responded }
  })
  return checkHistory(requests, sessionModel('first')).linearizable
}

function found (tokens: string, newId: string | null = null): Request['answer'] {
  return { found: true, tokens, newId }
}

const missing = { found: false } as const

t.test('the checker accepts what can be put in order', async (t) => {
  t.ok(accepts(), 'nothing')
  t.ok(accepts(
    ['append', '1', 0, 1, found('1')],
    ['append', '2', 2, 3, found('1,2')],
    ['read', '', 4, 5, found('1,2')]
  ), 'one after the other')
  t.ok(accepts(
    ['append', '1', 0, 9, found('2,1')],
    ['section', '2', 1, 8, found('2')],
    ['read', '', 2, 7, found('')]
  ), 'all at once, in another order than they came')
  t.ok(accepts(
    ['append', '1', 0, 9, null],
    ['read', '', 2, 3, found('')],
    ['read', '', 4, 5, found('1')]
  ), 'without an answer, but it took effect')
  t.ok(accepts(
    ['append', '1', 0, 9, null],
    ['append', '2', 2, 3, found('2')],
    ['read', '', 4, 5, found('2')]
  ), 'without an answer, and without effect')
  t.ok(accepts(['append', '1', 0, 9, 'refused'], ['read', '', 10, 11, found('')]), 'refused')
  t.ok(accepts(
    ['destroy', '', 0, 5, found('')],
    ['append', '1', 1, 6, missing],
    ['read', '', 7, 8, missing]
  ), 'destroyed')
  t.ok(accepts(
    ['regenerate', '', 0, 5, found('', 'second')],
    ['append', '1', 1, 9, found('1')],
    ['append', '2', 6, 9, found('1,2'), 'second'],
    ['read', '', 10, 11, missing]
  ), 'who has waited follows into the regenerated session')
  t.ok(accepts(
    ['regenerate', '', 0, 5, null],
    ['append', '1', 1, 9, found('1')],
    ['read', '', 10, 11, missing]
  ), 'regenerated, with an id that nobody got')
})

t.test('the checker rejects what cannot be', async (t) => {
  t.notOk(accepts(['append', '1', 0, 9, found('1')], ['append', '2', 0, 9, found('2')]), 'a lost update')
  t.notOk(accepts(
    ['append', '1', 0, 9, found('1')],
    ['append', '2', 0, 9, null],
    ['append', '3', 10, 11, found('2,3')]
  ), 'a lost update, with a request that nobody answered')
  t.notOk(accepts(['append', '1', 0, 1, found('1')], ['read', '', 2, 3, found('')]), 'a stale read')
  t.notOk(accepts(
    ['append', '1', 0, 9, found('1')],
    ['read', '', 2, 3, found('1')],
    ['read', '', 4, 5, found('')]
  ), 'a read that goes back in time')
  t.notOk(accepts(['append', '1', 0, 1, 'refused'], ['read', '', 2, 3, found('1')]), 'an effect of what was refused')
  t.notOk(accepts(['destroy', '', 0, 1, found('')], ['append', '1', 2, 3, found('1')]), 'a resurrection')
  t.notOk(accepts(
    ['append', '1', 0, 9, found('1')],
    ['destroy', '', 1, 2, found('')],
    ['read', '', 10, 11, found('1')]
  ), 'a resurrection by a slow request')
  t.notOk(accepts(['append', '1', 0, 1, missing]), 'a session that got lost')
  t.notOk(accepts(['regenerate', '', 0, 1, found('', 'second')], ['visit', '', 2, 3, found('')]), 'an old id that still works')
  t.notOk(accepts(
    ['reset', '', 0, 5, found('', 'second')],
    ['append', '1', 1, 9, found('1')],
    ['read', '', 10, 11, found('1'), 'second']
  ), 'a request that followed though it must not')
})

/** Checks each session by itself. */
function check ({ histories }: RunReport) {
  const verdicts = histories.map(({ firstId, requests }) => ({ requests, ...checkHistory(requests, sessionModel(firstId)) }))
  const answers = histories.flatMap(({ requests }) => requests.map(request => request.answer))
  return { wrong: verdicts.filter(verdict => !verdict.linearizable), answers }
}

t.test(`S1, S2, I3: every session is linearizable, with clients that leave and servers that are killed (SEED=${seed})`, async (t) => {
  const directory = join(base, 'sessions')
  const variants = [{ directory }, { directory, io: 'async' }] as const
  const servers = await Promise.all([0, 1, 0].map(async variant => await host.start({ store: variants[variant]! })))
  const killing = (async () => {
    for (let i = 0; i < 6; i++) {
      await sleep(800)
      // Out of the list before it is dead, so that few requests go to nobody.
      const [victim] = servers.splice(i % servers.length, 1)
      await victim!.kill()
      servers.push(await host.start({ store: variants[i % 2]! }))
    }
  })()
  const running = randomRun({ random: seededRandom(seed), servers, requests: 6000, clients: 12, sessions: 4 })
  const [report] = await Promise.all([running, killing])
  t.same(report.surprises, [])
  const { wrong, answers } = check(report)
  for (const { explained, stuckAt, requests } of wrong.slice(0, 1)) {
    requests.sort((a, b) => a.invoked - b.invoked)
    t.fail(`one of ${wrong.length} sessions that are not linearizable`, { explained, stuckAt: stuckAt.map(inWords), requests: requests.map(inWords).join('\n') })
  }
  t.ok(answers.filter(answer => answer !== null && answer !== 'refused' && answer.found).length > 3000, 'most requests were served')
  t.ok(answers.includes(null), 'some got no answer')
})

t.test(`the same requests to a server without locks are not (SEED=${seed})`, async (t) => {
  const servers = await host.startMany(3, { store: { directory: join(base, 'unlocked') } }, 'unlocked-server')
  const report = await randomRun({ random: seededRandom(seed), servers, requests: 1000, clients: 12, sessions: 4 })
  t.ok(check(report).wrong.length > 0)
})
