// A visitor: sends requests over real connections and keeps its session cookie.
import http from 'node:http'
import { performance } from 'node:perf_hooks'

export interface Answer {
  status: number
  headers: http.IncomingHttpHeaders
  body: any
  /** The id in the session cookie that this reply sets; '' when it clears it, null when it says nothing. */
  cookie: string | null
  /** How long it took, in ms. */
  took: number
}

export interface SendOptions {
  cookie?: string | null
  signal?: AbortSignal
  body?: string
}

const agent = new http.Agent({ keepAlive: true, maxSockets: 256 })

/** Rejects when the connection breaks before the answer is complete. */
export function send (port: number, method: string, path: string, { cookie, signal, body }: SendOptions = {}): Promise<Answer> {
  const began = performance.now()
  return new Promise((resolve, reject) => {
    const headers: http.OutgoingHttpHeaders = cookie ? { cookie: `sessionId=${cookie}` } : {}
    if (body !== undefined) headers['content-type'] = 'text/plain'
    const request = http.request({ agent, host: '127.0.0.1', port, method, path, headers, ...(signal && { signal }) }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk) => { text += chunk })
      response.on('error', reject)
      response.on('end', () => resolve({
        status: response.statusCode!,
        headers: response.headers,
        body: parse(text),
        cookie: sessionCookie(response.headers['set-cookie']),
        took: performance.now() - began
      }))
    })
    request.on('error', reject)
    request.end(body)
  })
}

/** Closes the idle connections, so that the servers can close. */
export function hangUp (): void {
  agent.destroy()
}

export class Visitor {
  cookie: string | null

  constructor (readonly port: number, cookie: string | null = null) {
    this.cookie = cookie
  }

  /** The same visitor at another server. */
  at (port: number): Visitor {
    return new Visitor(port, this.cookie)
  }

  async get (path: string): Promise<Answer> { return await this.#send('GET', path) }
  async post (path: string, body?: string): Promise<Answer> { return await this.#send('POST', path, body) }

  async #send (method: string, path: string, body?: string): Promise<Answer> {
    const answer = await send(this.port, method, path, { cookie: this.cookie, ...(body !== undefined && { body }) })
    if (answer.cookie !== null) this.cookie = answer.cookie === '' ? null : answer.cookie
    return answer
  }
}

function parse (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

function sessionCookie (lines: string[] | undefined): string | null {
  const line = lines?.find(line => line.startsWith('sessionId='))
  return line === undefined ? null : /^sessionId=([^;]*)/.exec(line)![1]!
}
