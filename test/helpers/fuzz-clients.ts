// Many clients on few connections, of which any may leave at any moment.
import * as http from 'node:http'
import * as http2 from 'node:http2'

export interface FuzzRequest {
  path: string
  headers: Record<string, string>
  body?: string | undefined
  /** Leaves after so many ms. */
  leaveAfter?: number | undefined
}

export interface FuzzAnswer {
  status: number
  body: string
  setCookie: string[]
}

export interface FuzzClients {
  /** null: left, or cut off before the end. */
  send (request: FuzzRequest): Promise<FuzzAnswer | null>
  close (): void
}

export function http1Clients (port: number): FuzzClients {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 100 })
  return {
    send ({ path, headers, body, leaveAfter }) {
      return new Promise(resolve => {
        const request = http.request({ port, host: '127.0.0.1', path, headers, agent, method: body === undefined ? 'GET' : 'POST' })
        const timer = leaveAfter === undefined ? undefined : setTimeout(() => request.destroy(), leaveAfter)
        request.on('response', (response) => {
          let text = ''
          response.setEncoding('utf8')
          response.on('data', (chunk) => { text += chunk })
          response.on('end', () => resolve({ status: response.statusCode!, body: text, setCookie: response.headers['set-cookie'] ?? [] }))
          response.on('error', () => resolve(null))
        })
        request.on('error', () => resolve(null))
        request.on('close', () => {
          clearTimeout(timer)
          resolve(null)
        })
        request.end(body)
      })
    },
    close: () => agent.destroy()
  }
}

export function http2Clients (port: number, random: () => number): FuzzClients {
  const sessions: http2.ClientHttp2Session[] = []
  function connect (slot: number): http2.ClientHttp2Session {
    const session = http2.connect(`http://127.0.0.1:${port}`)
    session.on('error', () => {})
    session.setMaxListeners(200)
    sessions[slot] = session
    return session
  }
  return {
    send ({ path, headers, body, leaveAfter }) {
      return new Promise(resolve => {
        const slot = Math.floor(random() * 6)
        const open = sessions[slot]
        const session = open === undefined || open.destroyed || open.closed ? connect(slot) : open
        const stream = session.request({ ':path': path, ':method': body === undefined ? 'GET' : 'POST', ...headers }, { endStream: body === undefined })
        // Now and then everybody on the connection goes.
        const leave = random() < 0.03 ? () => session.destroy() : () => stream.close(http2.constants.NGHTTP2_CANCEL)
        const timer = leaveAfter === undefined ? undefined : setTimeout(leave, leaveAfter)
        let status = 0
        let setCookie: string[] = []
        let text = ''
        let whole = false
        stream.setEncoding('utf8')
        stream.on('response', (answer) => {
          status = answer[':status']!
          setCookie = answer['set-cookie'] ?? []
        })
        stream.on('data', (chunk) => { text += chunk })
        stream.on('end', () => { whole = true })
        stream.on('error', () => {})
        stream.on('close', () => {
          clearTimeout(timer)
          resolve(whole && status !== 0 && stream.rstCode === http2.constants.NGHTTP2_NO_ERROR ? { status, body: text, setCookie } : null)
        })
        if (body !== undefined) stream.end(body)
      })
    },
    close () {
      for (const session of sessions) session?.destroy()
    }
  }
}
