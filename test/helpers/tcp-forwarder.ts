// A port behind which another port is: it can be cut, point elsewhere, and lose the answer to a command that was delivered.
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { Test } from 'tap'

export class TcpForwarder {
  readonly host = '127.0.0.1'
  port = 0
  #isCut = false
  #target: number
  #losing: { word: RegExp, done: () => void } | null = null
  readonly #sockets = new Set<Socket>()

  private constructor (target: number) {
    this.#target = target
  }

  static async start (t: Test, target: number): Promise<TcpForwarder> {
    const forwarder = new TcpForwarder(target)
    const server = createServer(socket => forwarder.#accept(socket)).listen(0, '127.0.0.1')
    await new Promise(resolve => server.once('listening', resolve))
    forwarder.port = (server.address() as AddressInfo).port
    t.teardown(() => {
      forwarder.cut()
      server.close()
    })
    return forwarder
  }

  /** Breaks all connections, and takes no new ones. */
  cut (): void {
    this.#isCut = true
    for (const socket of this.#sockets) socket.destroy()
  }

  restore (): void {
    this.#isCut = false
  }

  /** From now on another server answers. */
  pointTo (target: number): void {
    this.cut()
    this.#target = target
    this.restore()
  }

  /** The next command with this word gets to the server, but its answer does not come back; then it is cut. */
  async loseAnswerTo (word: RegExp): Promise<void> {
    await new Promise<void>(resolve => { this.#losing = { word, done: resolve } })
  }

  #accept (client: Socket): void {
    if (this.#isCut) {
      client.destroy()
      return
    }
    const server = connect(this.#target, '127.0.0.1')
    let losing: (() => void) | null = null
    client.on('data', (bytes) => {
      if (this.#losing?.word.test(bytes.toString('latin1')) === true) {
        losing = this.#losing.done
        this.#losing = null
      }
      server.write(bytes)
    })
    server.on('data', (bytes) => {
      if (losing === null) {
        client.write(bytes)
        return
      }
      this.cut()
      losing()
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
