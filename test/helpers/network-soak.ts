// Everything at once: visitors count on many sessions, log out and change ids at four server processes, which are
// frozen, or killed and started again. In the end nothing acknowledged may be lost, and nothing dead may be alive.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { type Answer, send } from './http-client.js'
import type { NetworkScene } from './network-scene.js'
import { seededRandom } from './seeded-random.js'
import { SessionLife } from './session-life.js'

const SESSIONS = 12
const VISITORS_OF_EACH = 3
/** Longer than the leases: who wakes up then has lost its locks. In ms. */
const FREEZE = 2500
const CLEAR_ANSWERS = ['FST_SESSION_STORE_UNAVAILABLE', 'FST_SESSION_LOCK_TIMEOUT', 'FST_SESSION_LOCK_LOST', 'FST_SESSION_CONFLICT']

export async function soak (t: Test, scene: NetworkScene, duration: number, seed = Date.now() % 1e6): Promise<void> {
  const run = new Soak(scene, seed)
  await run.go(duration)
  t.comment(`seed ${seed}: ${JSON.stringify(run.done)}`)
  t.same(run.complaints, [])
  for (const [what, times] of Object.entries(run.done)) t.ok(times > 0, `${what}: ${times}`)
}

class Soak {
  readonly complaints: string[] = []
  readonly done = { increments: 0, newIds: 0, newSessions: 0, logouts: 0, kills: 0, freezes: 0, probesOfTheDead: 0, checkedAtTheEnd: 0 }
  readonly #random: () => number
  readonly #workers
  readonly #lives: SessionLife[] = []
  readonly #dead: string[] = []
  #stopped = false

  constructor (private readonly scene: NetworkScene, seed: number) {
    this.#random = seededRandom(seed)
    this.#workers = [...scene.servers]
  }

  async go (duration: number): Promise<void> {
    for (let i = 0; i < SESSIONS; i++) this.#lives.push(await this.#begin())
    const visitors = this.#lives.flatMap((_, place) => Array.from({ length: VISITORS_OF_EACH }, async () => { await this.#visit(place) }))
    const disturbing = this.#disturb()
    await sleep(duration)
    this.#stopped = true
    await Promise.all([...visitors, disturbing])
    await this.#check()
  }

  async #visit (place: number): Promise<void> {
    while (!this.#stopped) {
      const life = this.#lives[place]!
      if (life.ended) await sleep(10) // Another visitor begins it anew.
      else await this.#act(place, life)
      await sleep(this.#random() * 20)
    }
  }

  async #act (place: number, life: SessionLife): Promise<void> {
    const dice = this.#random()
    if (dice < 0.05 && this.#dead.length > 0) await this.#probe(this.#dead[Math.floor(this.#random() * this.#dead.length)]!)
    else if (dice < 0.11 && !life.changing) await this.#change(place, life, '/destroy', 'logouts')
    else if (dice < 0.15 && !life.changing) await this.#change(place, life, '/regenerate', 'newSessions')
    else if (dice < 0.25 && !life.changing) await this.#change(place, life, '/regenerate?keep=true', 'newIds')
    else {
      const answered = life.increment()
      const answer = await this.#send('/increment?work=2', life.cookie)
      if (answer === null) return
      this.done.increments++
      answered(answer)
    }
  }

  async #change (place: number, life: SessionLife, path: string, what: 'logouts' | 'newSessions' | 'newIds'): Promise<void> {
    const keeps = what === 'newIds'
    const answered = life.change(keeps ? 'keeps' : 'ends')
    const answer = await this.#send(path, life.cookie)
    answered(answer)
    if (answer !== null) {
      this.done[what]++
      this.#dead.push(...life.dead.splice(0))
    }
    if (!life.ended) return
    this.#lives[place] = what === 'newSessions' && answer?.cookie ? this.#live(answer.cookie) : await this.#begin()
  }

  /** A dead id finds nothing, also for one who writes. */
  async #probe (cookie: string): Promise<void> {
    const answer = await this.#send('/increment', cookie)
    if (answer === null) return
    this.done.probesOfTheDead++
    if (answer.body.found !== false) this.complaints.push('a dead session was alive')
  }

  async #begin (): Promise<SessionLife> {
    for (;;) {
      const answer = await this.#send('/begin', null)
      if (answer?.cookie) return this.#live(answer.cookie)
      await sleep(20)
    }
  }

  #live (cookie: string): SessionLife {
    return new SessionLife(cookie, (what) => { this.complaints.push(what) })
  }

  /** null: no answer, or a refusal. The change may have been stored all the same. */
  async #send (path: string, cookie: string | null): Promise<Answer | null> {
    const worker = this.#workers[Math.floor(this.#random() * this.#workers.length)]!
    const answer = await send(worker.port, 'POST', path, { cookie }).catch(() => null)
    if (answer === null || answer.status === 200) return answer
    if (!CLEAR_ANSWERS.includes(answer.body.code)) this.complaints.push(`${path}: ${answer.status} ${answer.body.code}`)
    return null
  }

  async #disturb (): Promise<void> {
    for (let freezes = true; !this.#stopped; freezes = !freezes) {
      const place = Math.floor(this.#random() * this.#workers.length)
      const worker = this.#workers[place]!
      if (freezes) {
        await worker.freeze()
        await sleep(FREEZE)
        worker.thaw()
        this.done.freezes++
      } else {
        await worker.kill()
        this.done.kills++
        this.#workers[place] = await this.scene.start()
      }
      await sleep(this.#random() * 500)
    }
  }

  async #check (): Promise<void> {
    const { port } = this.#workers[0]!
    for (const life of this.#lives) {
      if (life.ended) continue
      const { body } = await send(port, 'GET', '/peek', { cookie: life.cookie })
      life.end(body.n)
      this.done.checkedAtTheEnd++
    }
    for (const cookie of this.#dead) {
      const { body } = await send(port, 'GET', '/peek', { cookie })
      if (body.found !== false) this.complaints.push('a dead session is alive in the end')
    }
  }
}
