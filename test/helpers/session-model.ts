// What a session does when its requests come one after the other: the measure for those that come at once.
// The session holds a list of tokens, each appended by one request, so its content tells which requests it has seen.
import type { Model, Timed } from './linearizability.js'

export type Kind = 'read' | 'visit' | 'append' | 'section' | 'regenerate' | 'reset' | 'destroy'

export interface Request extends Timed {
  readonly kind: Kind
  /** The id that it was sent with. */
  readonly id: string
  /** What it appends. */
  readonly token: string
  /** null: no answer came. 'refused': an error that promises that nothing has happened. */
  readonly answer: { found: true, tokens: string, newId: string | null } | { found: false } | 'refused' | null
}

export interface SessionState {
  /** null: destroyed. */
  readonly id: string | null
  readonly tokens: string
  /** For ids that were regenerated: until when a request must have begun to have been waiting for them; -Infinity when none may follow. */
  readonly followers: ReadonlyMap<string, number>
}

export function sessionModel (id: string): Model<SessionState, Request> {
  return {
    initial: { id, tokens: '', followers: new Map() },
    step,
    keyOf: ({ id, tokens, followers }) => `${id} ${tokens} ${[...followers.keys()].join()}`
  }
}

/** For reports. */
export function inWords ({ kind, token, id, invoked, responded, answer }: Request): string {
  const outcome = answer === null || answer === 'refused'
    ? answer ?? 'no answer'
    : answer.found ? `…${answer.tokens.slice(-40)}${answer.newId === null ? '' : `, id ${answer.newId.slice(0, 6)}`}` : 'missing'
  return `${invoked.toFixed(1)}-${responded.toFixed(1)} ${kind} ${token} of ${id.slice(0, 6)}: ${outcome}`
}

function step (state: SessionState, request: Request): SessionState | null {
  const { answer } = request
  if (answer === 'refused') return state
  if (answer !== null && !answer.found) return state.id === request.id ? null : state
  if (!reaches(state, request)) return null
  const after = effectOf(state, request)
  return answer === null || answer.tokens === after.tokens ? after : null
}

/** Whether the request finds the session: by its id, or because it waited while the session got a new one. */
function reaches ({ id, followers }: SessionState, request: Request): boolean {
  if (id === null) return false
  if (id === request.id) return true
  return request.kind !== 'read' && request.invoked < (followers.get(request.id) ?? -Infinity)
}

function effectOf (state: SessionState, { kind, token, answer, responded }: Request): SessionState {
  switch (kind) {
    case 'read': case 'visit': return state
    case 'append': case 'section': return { ...state, tokens: state.tokens === '' ? token : `${state.tokens},${token}` }
    case 'destroy': return { ...state, id: null }
    case 'regenerate': case 'reset': {
      // Nobody knows the id in an answer that did not arrive.
      const id = answer !== null && answer !== 'refused' && answer.found && answer.newId !== null ? answer.newId : `lost by ${token}`
      return {
        id,
        tokens: kind === 'reset' ? '' : state.tokens,
        followers: new Map(state.followers).set(state.id!, kind === 'reset' ? -Infinity : responded)
      }
    }
  }
}
