// What a session needs to know of the plugin that it belongs to.
import type { FastifyBaseLogger } from 'fastify'
import type { SessionRecord, Store } from '../../types/store.js'
import { attempt, type Awaitable } from '../awaitable.js'
import { storeError } from '../errors.js'
import type { LockQueue } from '../lock/lock-queue.js'
import type { ResolvedOptions } from '../options/plugin-options.js'
import { assertUsable, keyOf } from './id.js'

export interface SessionStats {
  creates: number
  saves: number
  touches: number
  regenerations: number
  destroys: number
}

export class SessionContext {
  constructor (
    readonly options: ResolvedOptions,
    readonly log: FastifyBaseLogger,
    readonly store: Store,
    readonly locks: LockQueue,
    readonly stats: SessionStats
  ) {}

  /** A snapshot of a session, without its lock. */
  read (key: string): Awaitable<SessionRecord | null> {
    return attempt(() => this.store.read(key), (record) => record, (error) => { throw storeError(error) })
  }

  /** What the store knows the session of an id by. */
  keyOf (id: string): string {
    return this.options.hashIds ? keyOf(this.options.cookieName, id) : id
  }

  newId (): string {
    const id = this.options.generateId()
    assertUsable(id)
    return id
  }
}
