// Stands between clients and a server, as a load balancer or a moving address does: counts, delays, cuts, loses an answer,
// and can exchange the server.
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { Test } from 'tap'

export class TcpProxy {
  readonly host = '127.0.0.1'
  #packets = 0
  #held: Array<() => void> | null = null
  #refuses = false
  #losing: { word: RegExp, done: () => void } | null = null
  readonly #sockets = new Set<Socket>()

  private constructor (readonly port: number, private target: number) {}

  static async start (t: Test, target: number): Promise<TcpProxy> {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const proxy = new TcpProxy((server.address() as AddressInfo).port, target)
    server.on('connection', (client) => {
      if (proxy.#refuses) client.destroy()
      else proxy.#join(client, connect(proxy.target, '127.0.0.1'))
    })
    t.teardown(() => {
      server.close()
      proxy.refuse()
    })
    return proxy
  }

  get address (): string { return `${this.host}:${this.port}` }

  /** What clients have sent since this was asked last. */
  packets (): number {
    const packets = this.#packets
    this.#packets = 0
    return packets
  }

  /** Keeps what clients send. */
  hold (): void { this.#held = [] }

  /** Passes it on. */
  letGo (): void {
    const held = this.#held ?? []
    this.#held = null
    for (const pass of held) pass()
  }

  /** Cuts all connections; returns how many there were. New ones are welcome. */
  cut (): number {
    const connections = this.#sockets.size / 2
    for (const socket of this.#sockets) socket.destroy()
    return connections
  }

  /** Cuts all connections, and takes no new ones. */
  refuse (): void {
    this.#refuses = true
    this.cut()
  }

  accept (): void { this.#refuses = false }

  /** From now on another server answers. Connections to the first one are cut. */
  pointTo (target: number): void {
    this.target = target
    this.cut()
  }

  /** The next command with this word gets to the server, but its answer does not come back: from then on nobody gets through. */
  async loseAnswerTo (word: RegExp): Promise<void> {
    await new Promise<void>(resolve => { this.#losing = { word, done: resolve } })
  }

  #join (client: Socket, server: Socket): void {
    let lost: (() => void) | null = null
    client.on('data', (bytes) => {
      this.#packets++
      if (this.#losing?.word.test(bytes.toString('latin1')) === true) {
        lost = this.#losing.done
        this.#losing = null
      }
      const pass = () => { server.write(bytes) }
      if (this.#held === null) pass()
      else this.#held.push(pass)
    })
    server.on('data', (bytes) => {
      if (lost === null) {
        client.write(bytes)
        return
      }
      this.refuse()
      lost()
    })
    for (const [socket, other] of [[client, server], [server, client]] as const) {
      this.#sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => {})
      socket.on('close', () => {
        this.#sockets.delete(socket)
        other.destroy()
      })
    }
  }
}
