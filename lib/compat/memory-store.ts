// The store of @fastify/session: a Map behind callbacks. For one process, and it forgets at its end.
import type { Session } from 'fastify'
import { EventEmitter } from 'node:events'
import { inherits } from 'node:util'
import type { Callback, CallbackSession, SessionStore, StoredSessionData } from './types.js'

export interface MemoryStore extends EventEmitter, SessionStore {
  readonly store: Map<string, StoredSessionData>
}

/** A function and not a class, because older stores inherit from it by `Store.call(this, options)`. */
function Store (this: { store: Map<string, StoredSessionData> }, map: Map<string, StoredSessionData> = new Map()): void {
  EventEmitter.call(this as unknown as EventEmitter)
  this.store = map
}

inherits(Store, EventEmitter)

Store.prototype.set = function set (this: MemoryStore, sessionId: string, session: StoredSessionData, callback: Callback): void {
  this.store.set(sessionId, session)
  callback()
}

Store.prototype.get = function get (this: MemoryStore, sessionId: string, callback: CallbackSession): void {
  callback(null, this.store.get(sessionId) as Session | undefined)
}

Store.prototype.destroy = function destroy (this: MemoryStore, sessionId: string, callback: Callback): void {
  this.store.delete(sessionId)
  callback()
}

// eslint-disable-next-line @typescript-eslint/no-redeclare -- a class to those who use it
export const MemoryStore = Store as unknown as new (map?: Map<string, StoredSessionData>) => MemoryStore
