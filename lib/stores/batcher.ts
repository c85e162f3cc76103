// Requests to a server about single sessions: one by one while few are under way, together once there are many. One request
// for fifty sessions costs both sides little more than one for one, and those who wait for it would have waited anyway.
import { type Callback, type Reaction, refusing, type TimeLimit } from '../time-limit.js'

/** How the requests of one kind are sent. */
export interface Sender<Item, Answer> {
  /** So many requests may be under way before others wait for their end. */
  readonly lanes: number
  one<R> (item: Item, reaction: Reaction<Answer, R>): Promise<R>
  /** Answers in the order of the items; undefined: this one has to be asked for on its own. All of them, if what was asked was refused. */
  many (items: Item[]): Promise<(Answer | undefined)[]>
  /** Whether it would make a request for many too long. */
  isLarge (item: Item): boolean
}

/** What to do about the answer. */
export interface AnswerReaction<Answer, R> {
  done (answer: Answer): R | Promise<R>
  /** There is none, or not in time. Called once more if an answer comes after all. `isSent`: the server may have done it. */
  failed? (isSent: boolean): void
}

/** What fails together, or takes its time together, should not be too many. */
const MOST = 50

export class Batcher<Item, Answer> {
  #underWay = 0
  #waiting: Waiting<Item, Answer>[] = []

  constructor (private readonly sender: Sender<Item, Answer>, private readonly limit: TimeLimit) {}

  ask<R> (item: Item, reaction: AnswerReaction<Answer, R>): Promise<R> {
    if (this.#underWay < this.sender.lanes || this.sender.isLarge(item)) return this.#askNow(item, reaction)
    const waiting = new Waiting<Item, Answer, R>(item, reaction)
    return this.limit.run<Answer, R>((end) => {
      waiting.end = end
      this.#waiting.push(waiting)
    }, waiting)
  }

  #askNow<R> (item: Item, reaction: AnswerReaction<Answer, R>): Promise<R> {
    this.#underWay++
    return this.sender.one(item, {
      done: (answer) => {
        this.#ended()
        return reaction.done(answer)
      },
      failed: () => {
        this.#ended()
        reaction.failed?.(true)
      },
      late: () => reaction.failed?.(true)
    })
  }

  #ended (): void {
    this.#underWay--
    if (this.#waiting.length === 0 || this.#underWay >= this.sender.lanes) return
    const next = this.#waiting.filter(({ state }) => state === 'waiting')
    this.#waiting = next.splice(MOST)
    for (const each of next) each.state = 'sent'
    if (next.length === 1) this.#sendOne(next[0]!)
    else if (next.length > 1) this.#sendMany(next)
  }

  #sendOne ({ item, end }: Waiting<Item, Answer>): void {
    this.#underWay++
    this.sender.one<Answer>(item, {}).then((answer) => {
      this.#ended()
      end(null, answer)
    }, (error) => {
      this.#ended()
      refusing(end)(error)
    })
  }

  #sendMany (waiting: Waiting<Item, Answer>[]): void {
    this.#underWay++
    this.sender.many(waiting.map(({ item }) => item)).then((answers) => {
      this.#ended()
      waiting.forEach((each, i) => {
        if (answers[i] === undefined) this.#sendOne(each)
        else each.end(null, answers[i])
      })
    }, (error) => {
      this.#ended()
      for (const { end } of waiting) refusing(end)(error)
    })
  }
}

/** What waits for the end of another request. Its time runs already. */
class Waiting<Item, Answer, R = unknown> implements Reaction<Answer, R> {
  state: 'waiting' | 'sent' | 'given up' = 'waiting'
  end!: Callback<Answer>

  constructor (readonly item: Item, private readonly reaction: AnswerReaction<Answer, R>) {}

  done (answer: Answer): R | Promise<R> {
    return this.reaction.done(answer)
  }

  failed (): void {
    const isSent = this.state === 'sent'
    this.state = 'given up'
    this.reaction.failed?.(isSent)
  }

  late (): void {
    this.reaction.failed?.(true)
  }
}
