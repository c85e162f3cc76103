// The one connection that hears of hand-overs. When it is cut, another one is taken.
import type { Connection, PgClient, Row } from './connection.js'

const RETRY = 500
/** Sent to ourselves: a pooler in transaction mode accepts LISTEN, but nothing ever comes. */
const HELLO = 'hello'
const ARRIVES = 1000
/** A pool does not tell when it is ended, but its end() waits for our connection. So we look, after so many ms. */
const LOOK = 250

export class Listener {
  #client: PgClient | null = null
  #end: (error?: unknown) => void = () => {}
  #retry: NodeJS.Timeout | undefined
  #look: NodeJS.Timeout | undefined
  #closed = false

  /** `lost`: something may have been missed. */
  constructor (
    private readonly connection: Connection,
    private readonly channel: string,
    private readonly heard: (message: Row) => void,
    private readonly lost: (error: unknown) => void
  ) {}

  get isListening (): boolean { return this.#client !== null }

  /** If notifications do not arrive here, it is not listening afterwards. */
  async start (): Promise<void> {
    const client = await this.connection.take()
    let over = false
    let greeted = () => {}
    const end = (error?: unknown) => {
      if (over) return
      over = true
      clearTimeout(this.#look)
      // Not back to the pool: it would go on listening there.
      client.release(true)
      if (this.#client !== client) return
      this.#client = null
      this.#again(error)
    }
    this.#end = end
    client.on('error', end)
    client.on('end', end)
    client.on('notification', ({ payload }) => {
      if (payload === HELLO) greeted()
      else if (payload !== undefined) this.heard(JSON.parse(payload) as Row)
    })
    try {
      await this.connection.send(client, `LISTEN "${this.channel}"`)
      const arrived = new Promise<boolean>((resolve) => {
        const timer = setTimeout(() => resolve(false), ARRIVES)
        greeted = () => {
          clearTimeout(timer)
          resolve(true)
        }
      })
      await this.connection.query('SELECT pg_notify($1, $2)', [this.channel, HELLO])
      if (!await arrived) return end()
    } catch (error) {
      end(error)
      throw error
    }
    if (over || this.#closed) return end()
    this.#client = client
    const look = setTimeout(() => {
      if (this.connection.isOver) end(new Error('the pool was ended while the store was open'))
      else look.refresh()
    }, LOOK).unref()
    this.#look = look
  }

  close (): void {
    this.#closed = true
    clearTimeout(this.#retry)
    this.#client = null
    this.#end()
  }

  #again (error: unknown): void {
    if (this.#closed) return
    this.lost(error)
    if (this.connection.isOver) return
    clearTimeout(this.#retry)
    this.#retry = setTimeout(() => {
      this.start().then(() => this.lost(null), (reason: unknown) => this.#again(reason))
    }, RETRY).unref()
  }
}
