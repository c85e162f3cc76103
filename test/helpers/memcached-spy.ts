// A look at a memcached server past the store: its own small client, in the classic text protocol.
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { Test } from 'tap'

export class MemcachedSpy {
  private constructor (private readonly socket: Socket) {}

  static async connect (t: Test, port: number): Promise<MemcachedSpy> {
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    t.teardown(() => { socket.destroy() })
    return new MemcachedSpy(socket)
  }

  async set (key: string, value: string): Promise<void> {
    await this.ask(`set ${key} 0 0 ${Buffer.byteLength(value)}\r\n${value}`)
  }

  async delete (key: string): Promise<void> { await this.ask(`delete ${key}`) }
  async flush (): Promise<void> { await this.ask('flush_all') }
  async has (key: string): Promise<boolean> { return (await this.ask(`mg ${key}`)).startsWith('HD') }
  async items (): Promise<number> { return Number(/STAT curr_items (\d+)/.exec(await this.ask('stats'))![1]) }

  /** Sends a command; resolves to its answer, which ends with a line of its own kind. */
  async ask (command: string): Promise<string> {
    let answer = ''
    const done = new Promise<void>((resolve) => {
      const read = (data: Buffer) => {
        answer += data.toString('latin1')
        if (!/(?:^|\r\n)(?:END|STORED|DELETED|NOT_FOUND|OK|HD.*|EN|ERROR|[A-Z]+_ERROR.*)\r\n$/.test(answer)) return
        this.socket.off('data', read)
        resolve()
      }
      this.socket.on('data', read)
    })
    this.socket.write(`${command}\r\n`)
    await done
    return answer
  }
}
