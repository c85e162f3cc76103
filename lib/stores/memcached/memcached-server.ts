// One memcached server: connects when it is needed, and again after the connection broke.
import { type Address, MetaConnection } from './meta-connection.js'

export class MemcachedServer {
  #connection: MetaConnection | null = null
  #connecting: Promise<MetaConnection> | null = null
  #closed = false

  /** `timeout` in ms; larger values than `maxValue` bytes are not read. */
  constructor (private readonly address: Address, private readonly timeout: number, private readonly maxValue: number) {}

  /** Resolves to a connection in order; all who ask while it is being made get the same. */
  async connection (): Promise<MetaConnection> {
    if (this.#connection?.error === null) return this.#connection
    if (this.#closed) throw new Error('the store is closed')
    this.#connecting ??= MetaConnection.open(this.address, this.timeout, this.maxValue).finally(() => { this.#connecting = null })
    this.#connection = await this.#connecting
    return this.#connection
  }

  async close (): Promise<void> {
    this.#closed = true
    await this.#connecting?.catch(() => {})
    await this.#connection?.close()
  }
}
