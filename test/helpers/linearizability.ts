// Checks whether operations that overlapped in time can be put into an order in which each took effect at one moment
// between its request and its answer. The search is Wing and Gong's; what was tried in vain is remembered.

/** One operation as its caller saw it. Times on one clock. */
export interface Timed {
  readonly invoked: number
  /** Infinity: no answer came, so it may take effect at any later time, or never. */
  readonly responded: number
}

export interface Model<State, Operation> {
  readonly initial: State
  /** The state after the operation; null when it cannot have answered as it did. */
  step (state: State, operation: Operation): State | null
  /** Equal for equal states. */
  keyOf (state: State): string
}

export interface Verdict<Operation> {
  linearizable: boolean
  /** How many operations the best attempt put in order, and what it could not go on with. */
  explained: number
  stuckAt: Operation[]
}

interface Attempt<State> {
  readonly state: State
  /** Whether each operation is in the order already. */
  readonly done: Uint8Array
  /** All before this one are done. */
  readonly from: number
  readonly explained: number
}

/** Checks the history of one object. Histories of different objects are checked one by one: that keeps each search small. */
export function checkHistory<State, Operation extends Timed> (operations: Operation[], model: Model<State, Operation>): Verdict<Operation> {
  const history = [...operations].sort((a, b) => a.invoked - b.invoked)
  const answered = history.filter(operation => operation.responded !== Infinity).length
  const tried = new Set<string>()
  const verdict: Verdict<Operation> = { linearizable: false, explained: -1, stuckAt: [] }
  const attempts: Attempt<State>[] = [{ state: model.initial, done: new Uint8Array(history.length), from: 0, explained: 0 }]

  for (let attempt = attempts.pop(); attempt !== undefined; attempt = attempts.pop()) {
    const candidates = nextOf(history, attempt)
    if (attempt.explained > verdict.explained) {
      verdict.explained = attempt.explained
      verdict.stuckAt = candidates.map(i => history[i]!)
    }
    if (attempt.explained === answered) return { linearizable: true, explained: answered, stuckAt: [] }
    // Pushed last, tried first: what was answered first. Those without an answer only when nothing else helps.
    candidates.sort((a, b) => history[b]!.responded - history[a]!.responded)
    for (const i of candidates) {
      const state = model.step(attempt.state, history[i]!)
      if (state === null) continue
      const following = withDone(history, attempt, i, state)
      const key = `${following.from} ${following.done.subarray(following.from).join('')} ${model.keyOf(state)}`
      if (tried.has(key)) continue
      tried.add(key)
      attempts.push(following)
    }
  }
  return verdict
}

/** Those that may come next: nothing that is not yet in the order was answered before they were asked. */
function nextOf (history: Timed[], { done, from }: Attempt<unknown>): number[] {
  const candidates: number[] = []
  let firstAnswer = Infinity
  for (let i = from; i < history.length && history[i]!.invoked <= firstAnswer; i++) {
    if (done[i] === 1) continue
    candidates.push(i)
    firstAnswer = Math.min(firstAnswer, history[i]!.responded)
  }
  return candidates
}

function withDone<State> (history: Timed[], attempt: Attempt<State>, i: number, state: State): Attempt<State> {
  const done = attempt.done.slice()
  done[i] = 1
  let { from } = attempt
  while (done[from] === 1) from++
  return { state, done, from, explained: attempt.explained + (history[i]!.responded === Infinity ? 0 : 1) }
}
