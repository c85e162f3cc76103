// The store of @fastify/session: a Map behind callbacks. For one process, and it forgets at its end.
import type { Session } from 'fastify'
import { EventEmitter } from 'node:events'
import type { Callback, CallbackSession, SessionStore, StoredSessionData } from './types.js'

export class MemoryStore extends EventEmitter implements SessionStore {
  readonly store: Map<string, StoredSessionData>

  constructor (map: Map<string, StoredSessionData> = new Map()) {
    super()
    this.store = map
  }

  set (sessionId: string, session: StoredSessionData, callback: Callback): void {
    this.store.set(sessionId, session)
    callback()
  }

  get (sessionId: string, callback: CallbackSession): void {
    callback(null, this.store.get(sessionId) as Session | undefined)
  }

  destroy (sessionId: string, callback: Callback): void {
    this.store.delete(sessionId)
    callback()
  }
}
