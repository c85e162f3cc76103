// A TCP port in front of a server, as a load balancer or a moving IP address is: the server behind it can be exchanged.
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { Test } from 'tap'

export class Forwarder {
  readonly #sockets = new Set<Socket>()

  private constructor (readonly port: number, private target: number) {}

  static async start (t: Test, target: number): Promise<Forwarder> {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const forwarder = new Forwarder((server.address() as AddressInfo).port, target)
    server.on('connection', socket => forwarder.#forward(socket))
    t.teardown(() => {
      server.close()
      forwarder.cut()
    })
    return forwarder
  }

  /** New connections go to the other server. Those that exist are cut. */
  pointTo (target: number): void {
    this.target = target
    this.cut()
  }

  cut (): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  #forward (near: Socket): void {
    const far = connect(this.target, '127.0.0.1')
    for (const [socket, other] of [[near, far], [far, near]] as const) {
      this.#sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        this.#sockets.delete(socket)
        other.destroy()
      })
      socket.pipe(other)
    }
  }
}
