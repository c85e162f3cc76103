// A limit to the waiting for answers of a server, with one timer for all of them. They all wait equally long, so the
// oldest is always the next one due; most are answered long before, so a timer for each would be made in vain.

interface Pending {
  readonly due: number
  /** null once it is settled: a Set that shrinks and grows keeps old entries alive for a while. */
  end: (() => void) | null
}

/** What to do about an answer, without one more promise for it: each one costs, and a request makes many. */
export interface Reaction<T, R = T> {
  /** What is made of it; also another promise. */
  done?: ((value: T) => R | Promise<R>) | undefined
  /** There is none, whether it failed or took too long. Called before the rejection. */
  failed?: (() => void) | undefined
  /** It came after that. */
  late?: ((value: T) => void) | undefined
}

export interface RaceReaction<T, R = T> extends Reaction<T, R> {
  /** Another answer to wait for, in place of one that failed. */
  again?: (error: unknown) => Promise<T> | undefined
}

export class TimeLimit {
  readonly #ms: number
  readonly #toError: (cause: unknown) => Error
  readonly #pending = new Set<Pending>()
  #timer: NodeJS.Timeout | undefined

  /** `toError` makes what callers see of a failure, and of an answer that took longer than `ms`. */
  constructor (ms: number, toError: (cause: unknown) => Error) {
    this.#ms = ms
    this.#toError = toError
  }

  /** Settles as `answer` does, or rejects when the time is up. */
  race<T, R = T> (answer: Promise<T>, reaction: RaceReaction<T, R> = {}): Promise<R> {
    return this.run((answered, refused) => {
      answer.then(answered, (error: unknown) => {
        const other = reaction.again?.(error)
        if (other === undefined) refused(error)
        else other.then(answered, refused)
      })
    }, reaction)
  }

  /** The same for what tells its end by calls: the first one counts. */
  run<T, R = T> (begin: (answered: (value: T) => void, refused: (error: unknown) => void) => void, { done, failed, late }: Reaction<T, R> = {}): Promise<R> {
    return new Promise((resolve, reject) => {
      const fail = (cause: unknown) => {
        failed?.()
        reject(this.#toError(cause))
      }
      const pending: Pending = {
        due: performance.now() + this.#ms,
        end: () => { fail(new Error(`No answer after ${this.#ms} ms`)) }
      }
      this.#pending.add(pending)
      this.#timer ??= this.#watch(this.#ms)
      begin((value) => {
        if (!this.#settle(pending)) {
          late?.(value)
          return
        }
        try {
          resolve(done === undefined ? value as unknown as R : done(value))
        } catch (error) {
          reject(error)
        }
      }, (error) => {
        if (this.#settle(pending)) fail(error)
      })
    })
  }

  /** Whether it was still open. */
  #settle (pending: Pending): boolean {
    pending.end = null
    return this.#pending.delete(pending)
  }

  #watch (ms: number): NodeJS.Timeout {
    return setTimeout(() => {
      this.#timer = undefined
      const now = performance.now()
      for (const pending of this.#pending) {
        if (pending.due > now) {
          this.#timer = this.#watch(pending.due - now)
          return
        }
        const { end } = pending
        this.#settle(pending)
        end!()
      }
    }, Math.ceil(ms)).unref()
  }
}
