// A browser with one cookie, and its connections. It talks to the application without a socket where that is enough,
// and over HTTP where the connection itself matters.
import type { FastifyInstance } from 'fastify'
import { AsyncLocalStorage } from 'node:async_hooks'
import * as http from 'node:http'
import type { AddressInfo } from 'node:net'
import { Gate } from '../patience.js'

export interface Answer {
  status: number
  headers: http.IncomingHttpHeaders
  /** Every Set-Cookie line of the session's cookie. */
  setCookie: string[]
  text: string
  /** The parsed JSON, or the text. */
  body: any
}

export interface SendOptions {
  method?: 'GET' | 'POST' | 'HEAD'
  headers?: Record<string, string>
  body?: unknown
}

/** A request under way over a socket. */
export interface Exchange {
  /** Rejects when the connection ends before the answer does. */
  readonly answer: Promise<Answer>
  /** The first bytes of the body are there. */
  readonly begun: Promise<void>
  /** The client goes: its connection is cut. */
  leave (): void
}

// A request made inside of a handler counts as a part of it; a browser is a part of nothing.
const outside = AsyncLocalStorage.snapshot()

export class Visitor {
  constructor (readonly app: FastifyInstance, public cookie: string | null = null, readonly name = 'sessionId') {}

  /** The same browser, at another server if there is one: a copy of its cookie. */
  at (app: FastifyInstance): Visitor {
    return new Visitor(app, this.cookie, this.name)
  }

  async get (url: string, headers: Record<string, string> = {}): Promise<Answer> {
    return await this.send(url, { headers })
  }

  async post (url: string, body: unknown = {}): Promise<Answer> {
    return await this.send(url, { method: 'POST', body })
  }

  async send (url: string, { method = 'GET', headers = {}, body }: SendOptions = {}): Promise<Answer> {
    const payload = body === undefined ? {} : { payload: body as object }
    const response = await outside(async () => await this.app.inject({ method, url, headers: this.#headers(headers), ...payload }))
    return this.#heard(response.statusCode, response.headers as http.IncomingHttpHeaders, response.payload)
  }

  /** Over a socket; the application must listen. */
  open (url: string, { method = 'GET', headers = {}, body }: SendOptions = {}): Exchange {
    const text = body === undefined ? undefined : JSON.stringify(body)
    const type: Record<string, string> = text === undefined ? {} : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(text)) }
    const { port } = this.app.server.address() as AddressInfo
    const request = http.request({ host: '127.0.0.1', port, path: url, method, headers: { ...this.#headers(headers), ...type }, agent: false })
    const begun = new Gate()
    const answer = new Promise<Answer>((resolve, reject) => {
      request.on('error', reject)
      request.on('response', (response) => {
        let received = ''
        response.setEncoding('utf8').on('data', (chunk: string) => {
          received += chunk
          begun.open()
        })
        response.on('error', reject)
        response.on('end', () => resolve(this.#heard(response.statusCode!, response.headers, received)))
      })
    })
    answer.catch(() => {}) // Who leaves does not ask for the answer.
    request.end(text)
    return { answer, begun: begun.opened, leave: () => { request.destroy() } }
  }

  #headers (own: Record<string, string>): Record<string, string> {
    return this.cookie === null ? own : { cookie: `${this.name}=${this.cookie}`, ...own }
  }

  #heard (status: number, headers: http.IncomingHttpHeaders, text: string): Answer {
    const setCookie = [headers['set-cookie'] ?? []].flat().filter(line => line.startsWith(`${this.name}=`))
    for (const line of setCookie) {
      const value = /^[^=]*=([^;]*)/.exec(line)![1]!
      this.cookie = value === '' || /;\s*max-age=0/i.test(line) ? null : decodeURIComponent(value)
    }
    return { status, headers, setCookie, text, body: parsed(text) }
  }
}

/** A listening application; it stops with app.close(). */
export async function listen (app: FastifyInstance): Promise<void> {
  await app.listen({ port: 0, host: '127.0.0.1' })
}

function parsed (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
