// One TCP connection to one memcached server. Commands are pipelined, replies come in their order.
// It never reconnects: with a new connection comes a new object, so whoever keeps the object notices.
import { connect, type Socket } from 'node:net'
import { ProtocolError, type Reply, ReplyParser } from './meta-protocol.js'

export interface Address {
  host: string
  port: number
}

interface Pending {
  readonly replies: Reply[]
  /** Whether the replies are complete. */
  readonly isLast: (reply: Reply, replies: Reply[]) => boolean
  readonly deadline: number
  readonly resolve: (replies: Reply[]) => void
  readonly reject: (error: unknown) => void
}

export class MetaConnection {
  /** The largest item the server takes, in bytes (its option -I). */
  maxItemSize = 0
  /** Why it has ended; null while it is in order. */
  error: Error | null = null
  readonly #socket: Socket
  readonly #pending: Pending[] = []
  #timer: NodeJS.Timeout | undefined

  private constructor (address: Address, private readonly timeout: number, maxValue: number) {
    const parser = new ReplyParser(maxValue, (reply) => this.#receive(reply))
    this.#socket = connect({ ...address, noDelay: true, keepAlive: true })
    this.#socket.on('data', (chunk) => {
      try {
        parser.push(chunk)
      } catch (error) {
        this.end(error as Error)
      }
    })
    this.#socket.on('error', (error) => this.end(error))
    this.#socket.on('close', () => this.end(new Error('memcached has closed the connection')))
  }

  /** Connects and asks for the settings that matter. Rejects after `timeout` ms at the latest. */
  static async open (address: Address, timeout: number, maxValue: number): Promise<MetaConnection> {
    const connection = new MetaConnection(address, timeout, maxValue)
    // Written before the connection stands: the socket keeps it, and the timeout counts for both.
    const stats = await connection.#send(Buffer.from('stats settings\r\n'), ({ status }) => status !== 'STAT')
    const settings = new Map(stats.map(({ text }) => text.split(' ') as [string, string]))
    connection.maxItemSize = Number(settings.get('item_size_max'))
    if (!(connection.maxItemSize > 0)) connection.end(new ProtocolError('memcached does not tell its item_size_max'))
    if (settings.get('cas_enabled') === 'no') connection.end(new Error('memcached runs with -C; the store needs CAS'))
    if (connection.error !== null) throw connection.error
    return connection
  }

  /**
   * Sends commands in one packet; resolves to one reply each. Rejects when the connection breaks, or with it after
   * `timeout` ms: late replies would be taken for those of later commands. What was sent may have been done then.
   */
  async exchange (commands: Buffer[]): Promise<Reply[]> {
    return await this.#send(Buffer.concat(commands), (_reply, replies) => replies.length === commands.length)
  }

  /** Waits for the replies that are due, then closes. */
  async close (): Promise<void> {
    if (this.#pending.length > 0) await this.exchange([Buffer.from('mn\r\n')]).catch(() => {})
    this.end(new Error('the store is closed'))
  }

  end (error: Error): void {
    if (this.error !== null) return
    this.error = error
    clearTimeout(this.#timer)
    this.#socket.destroy()
    for (const { reject } of this.#pending.splice(0)) reject(error)
  }

  #send (packet: Buffer, isLast: Pending['isLast']): Promise<Reply[]> {
    return new Promise((resolve, reject) => {
      if (this.error !== null) return reject(this.error)
      this.#pending.push({ replies: [], isLast, deadline: performance.now() + this.timeout, resolve, reject })
      if (this.#pending.length === 1) this.#watch()
      this.#socket.write(packet)
    })
  }

  #receive (reply: Reply): void {
    const pending = this.#pending[0]
    if (pending === undefined) throw new ProtocolError('a reply that nobody asked for')
    pending.replies.push(reply)
    if (!pending.isLast(reply, pending.replies)) return
    this.#pending.shift()
    this.#watch()
    pending.resolve(pending.replies)
  }

  /** One timer, for the oldest command: those after it were sent later. */
  #watch (): void {
    clearTimeout(this.#timer)
    const oldest = this.#pending[0]
    if (oldest === undefined) return
    this.#timer = setTimeout(() => {
      // If this process was busy itself, the reply may be there already: it is read before setImmediate.
      setImmediate(() => {
        if (this.#pending[0] === oldest) this.end(new Error(`memcached has not answered for ${this.timeout} ms`))
      })
    }, Math.max(0, oldest.deadline - performance.now()))
  }
}
