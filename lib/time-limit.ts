// A limit to the waiting for answers of a server, with one timer for all of them. They all wait equally long, so the
// oldest is always the next one due; most are answered long before, so a timer for each would be made in vain.

interface Pending {
  readonly due: number
  /** null once it is settled: a Set that shrinks and grows keeps old entries alive for a while. */
  end: (() => void) | null
}

export interface RaceOptions<T, R = T> {
  again?: (error: unknown) => Promise<T> | undefined
  done?: (value: T) => R
  failed?: () => void
  late?: (value: T) => void
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

  /**
   * Settles as `answer` does, with what `done` makes of it, or rejects when the time is up. `again` may give another answer to
   * wait for, in place of one that failed. `failed` is called before it rejects, for either reason; `late` with an answer that
   * comes after that. All of them because each promise costs, and a request makes many.
   */
  race<T, R = T> (answer: Promise<T>, { again, done, failed, late }: RaceOptions<T, R> = {}): Promise<R> {
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
      const answered = (value: T) => {
        if (!this.#settle(pending)) {
          late?.(value)
          return
        }
        try {
          resolve(done === undefined ? value as unknown as R : done(value))
        } catch (error) {
          reject(error)
        }
      }
      const refused = (error: unknown) => {
        if (this.#settle(pending)) fail(error)
      }
      answer.then(answered, (error: unknown) => {
        const other = again?.(error)
        if (other === undefined) refused(error)
        else other.then(answered, refused)
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
