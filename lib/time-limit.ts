// A limit to the waiting for answers of a server, with one timer for all of them. They all wait equally long, so the
// oldest is always the next one due; most are answered long before, so a timer for each would be made in vain.

interface Pending {
  readonly due: number
  /** null once it is settled: a Set that shrinks and grows keeps old entries alive for a while. */
  end: (() => void) | null
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
   * Settles as `answer` does, or rejects when the time is up. `failed` is called before it rejects, for either reason; `late` with
   * an answer that comes after that.
   */
  race<T> (answer: Promise<T>, { failed, late }: { failed?: () => void, late?: (value: T) => void } = {}): Promise<T> {
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
      answer.then((value) => {
        if (this.#settle(pending)) resolve(value)
        else late?.(value)
      }, (error: unknown) => {
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
