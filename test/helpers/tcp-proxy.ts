// Stands between a client and a server, and counts, delays or cuts.
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { Test } from 'tap'

export class TcpProxy {
  #packets = 0
  #held: Array<() => void> | null = null
  readonly #sockets = new Set<Socket>()
  readonly #server: Server

  private constructor (port: number) {
    this.#server = createServer((client) => {
      const upstream = connect(port, '127.0.0.1')
      for (const [socket, other] of [[client, upstream], [upstream, client]] as const) {
        this.#sockets.add(socket)
        socket.on('error', () => {})
        socket.on('close', () => {
          this.#sockets.delete(socket)
          other.destroy()
        })
      }
      client.on('data', (data) => {
        this.#packets++
        const pass = () => { upstream.write(data) }
        if (this.#held === null) pass()
        else this.#held.push(pass)
      })
      upstream.on('data', (data) => { client.write(data) })
    })
  }

  static async start (t: Test, port: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(port)
    await new Promise<void>(resolve => { proxy.#server.listen(0, '127.0.0.1', resolve) })
    t.teardown(() => {
      proxy.cut()
      proxy.#server.close()
    })
    return proxy
  }

  get port (): number { return (this.#server.address() as { port: number }).port }
  get address (): string { return `127.0.0.1:${this.port}` }

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

  /** Cuts all connections; returns how many there were. */
  cut (): number {
    const connections = this.#sockets.size / 2
    for (const socket of this.#sockets) socket.destroy()
    return connections
  }
}
