// A limit to the waiting for answers of a server, with one timer for all of them. They all wait equally long, so the
// oldest is always the next one due; most are answered long before, so a timer for each would be made in vain.

interface Pending {
  readonly due: number
  /** null once it is settled: a Set that shrinks and grows keeps old entries alive for a while. */
  end: ((error: unknown) => void) | null
}

/** What to do about an answer, without one more promise for it: each one costs, and a request makes many. */
export interface Reaction<T, R = T> {
  /** What is made of it; also another promise. */
  done? (value: T): R | Promise<R>
  /** There is none, whether it failed or took too long. */
  failed? (): void
  /** It came after that. */
  late? (value: T): void
}

export interface RaceReaction<T, R = T> extends Reaction<T, R> {
  /** Another answer to wait for, in place of one that failed. */
  again? (error: unknown): Promise<T> | undefined
}

/** Node's convention: without an error there is a value. */
export type Callback<T> = (error: unknown, value?: T) => void

/** Passes a rejection on to a callback. Without a reason it would look like success. */
export function refusing (end: Callback<never>): (reason: unknown) => void {
  return (reason) => end(reason ?? new Error('It was refused without a reason'))
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
    return this.run((end) => {
      const answered = (value: T) => end(null, value)
      const refused = refusing(end)
      answer.then(answered, (error: unknown) => {
        const other = reaction.again?.(error)
        if (other === undefined) refused(error)
        else other.then(answered, refused)
      })
    }, reaction)
  }

  /** The same for what calls back; the first call counts. */
  run<T, R = T> (begin: (end: Callback<T>) => void, reaction: Reaction<T, R>): Promise<R> {
    return new Promise((resolve, reject) => {
      const end: Callback<T> = (error, value) => {
        const failed = error !== null && error !== undefined
        if (!this.#settle(pending)) {
          if (!failed) reaction.late?.(value as T)
        } else if (failed) {
          reject(this.#toError(error))
          reaction.failed?.()
        } else {
          try {
            resolve(reaction.done === undefined ? value as R : reaction.done(value as T))
          } catch (thrown) {
            reject(thrown)
          }
        }
      }
      const pending: Pending = { due: performance.now() + this.#ms, end }
      this.#pending.add(pending)
      this.#timer ??= this.#watch(this.#ms)
      begin(end)
    })
  }

  /** Whether it was still open. */
  #settle (pending: Pending): boolean {
    pending.end = null
    return this.#pending.delete(pending)
  }

  #watch (ms: number): NodeJS.Timeout {
    return setTimeout(() => {
      const now = performance.now()
      for (const pending of this.#pending) {
        if (pending.due > now) {
          this.#timer = this.#watch(pending.due - now)
          return
        }
        pending.end?.(new Error(`No answer after ${this.#ms} ms`))
      }
      // Not before: what is begun in the loop, because something else failed, would make a timer of its own.
      this.#timer = undefined
    }, Math.ceil(ms)).unref()
  }
}
