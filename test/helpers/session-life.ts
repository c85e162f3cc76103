// What the visitors of one session know of it: which id it has, what was acknowledged, and what must therefore be stored.
// A life ends with a logout, a new id without the data, or an answer that never came.
import type { Answer } from './http-client.js'

export class SessionLife {
  /** Ids that are dead for good: the change was acknowledged. */
  readonly dead: string[] = []
  ended = false
  /** A request that gives it another id, or ends it, is under way. */
  changing = false
  /** Increments that were sent, whatever became of them. */
  attempts = 0
  #changes = 0
  readonly #acknowledged = new Set<number>()

  constructor (public cookie: string, private readonly complain: (what: string) => void) {}

  get acknowledged (): number { return this.#acknowledged.size }

  /** An increment begins; what it returns takes the answer. */
  increment (): (answer: Answer) => void {
    const { changing } = this
    const changes = this.#changes
    this.attempts++
    return ({ body }) => {
      if (body.found === true) this.#acknowledge(body.n)
      // Who meets a change may find nothing. Nobody else.
      else if (!changing && changes === this.#changes) this.complain('a session was not found')
    }
  }

  /** A new id, or the end, begins; what it returns takes the answer, or null when it is not known what happened. */
  change (what: 'keeps' | 'ends'): (answer: Answer | null) => void {
    const { cookie, acknowledged } = this
    this.changing = true
    this.#changes++
    if (what === 'keeps') this.attempts++
    return (answer) => {
      this.changing = false
      if (answer === null || what === 'ends') this.ended = true
      if (answer === null) return
      if (answer.body.found === false) return this.complain('a session was not found by the only one who changes it')
      this.dead.push(cookie)
      if (what === 'keeps') {
        this.#acknowledge(answer.body.n)
        this.cookie = answer.cookie!
      } else if (answer.cookie === '') {
        // A logout answers with the last value.
        if (answer.body.n < acknowledged) this.complain(`${answer.body.n} at logout after ${acknowledged} acknowledged increments`)
      }
    }
  }

  /** `n`: what is stored in the end. */
  end (n: number | undefined): void {
    const [least, most] = [Math.max(this.acknowledged, ...this.#acknowledged), this.attempts]
    if (n === undefined || n < least || n > most) this.complain(`${n} is stored, and not ${least} to ${most}`)
  }

  #acknowledge (n: number): void {
    if (this.#acknowledged.has(n)) this.complain(`${n} was acknowledged twice`)
    this.#acknowledged.add(n)
  }
}
