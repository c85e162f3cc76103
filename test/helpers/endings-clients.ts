// Three ways to talk to an application: HTTP/1.1 and HTTP/2 over a socket, and app.inject. All can leave at any moment.
import type { FastifyInstance } from 'fastify'
import { AsyncLocalStorage } from 'node:async_hooks'
import * as http from 'node:http'
import * as http2 from 'node:http2'
import type { AddressInfo } from 'node:net'
import type { Readable } from 'node:stream'

export type TransportName = 'HTTP/1.1' | 'HTTP/2' | 'inject'

export interface ClientRequest {
  method?: 'GET' | 'POST' | 'HEAD'
  path: string
  headers?: Record<string, string>
  body?: string
  /** Announces a body that is longer than what is sent. */
  unfinished?: boolean
}

/** What the client has seen. */
export interface Heard {
  /** null: no answer came. */
  status: number | null
  headers: Record<string, string | string[] | undefined>
  setCookie: string[]
  body: string
  /** The body came to its regular end. */
  whole: boolean
}

export interface Exchange {
  /** Never rejects. */
  readonly heard: Promise<Heard>
  /** The first bytes of the answer are there. */
  readonly begun: Promise<unknown>
  /** The client goes. 'connection': everything else on its connection goes with it. */
  leave (what?: 'request' | 'connection'): void
}

export interface Client {
  readonly name: TransportName
  readonly port: number
  send (request: ClientRequest): Exchange
}

export async function connectTo (app: FastifyInstance, name: TransportName): Promise<Client> {
  if (name === 'inject') {
    await app.ready()
    return { name, port: 0, send: request => inject(app, request) }
  }
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  const send = name === 'HTTP/1.1' ? overHttp1 : overHttp2
  return { name, port, send: request => send(port, request) }
}

function overHttp1 (port: number, { method = 'GET', path, headers = {}, body, unfinished = false }: ClientRequest): Exchange {
  const length = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) + (unfinished ? 1000 : 0) }
  const request = http.request({ host: '127.0.0.1', port, method, path, headers: { ...headers, ...length }, agent: false })
  const answer = newAnswer()
  request.on('response', (response) => {
    answer.begin(response.statusCode ?? null, response.headers)
    answer.read(response)
  })
  request.on('error', () => answer.end(false))
  request.on('close', () => answer.end(false))
  if (unfinished) request.write(body)
  else request.end(body)
  return { ...answer.exchange, leave: () => { request.destroy() } }
}

function overHttp2 (port: number, { method = 'GET', path, headers = {}, body, unfinished = false }: ClientRequest): Exchange {
  const session = http2.connect(`http://127.0.0.1:${port}`)
  session.on('error', () => {})
  const answer = newAnswer()
  const stream = session.request({ ':method': method, ':path': path, ...headers }, { endStream: body === undefined })
  stream.on('response', (headers) => {
    answer.begin(headers[':status'] ?? null, headers)
    answer.read(stream)
  })
  stream.on('error', () => answer.end(false))
  stream.on('close', () => {
    answer.end(false)
    session.close()
  })
  if (unfinished) stream.write(body)
  else if (body !== undefined) stream.end(body)
  return {
    ...answer.exchange,
    leave (what) {
      if (what === 'connection') session.destroy()
      else stream.close(http2.constants.NGHTTP2_CANCEL)
    }
  }
}

// A request that is injected from inside a locked section counts as a part of it. A client is a part of nothing.
const outside = AsyncLocalStorage.snapshot()

function inject (app: FastifyInstance, { method = 'GET', path, headers = {}, body }: ClientRequest): Exchange {
  const leaving = new AbortController()
  const answer = newAnswer()
  const options = { method, url: path, headers, payloadAsStream: true, signal: leaving.signal, ...(body === undefined ? {} : { payload: body }) }
  outside(() => app.inject(options).then((response) => {
    answer.begin(response.statusCode, response.headers as Heard['headers'])
    answer.read(response.stream())
  }, () => answer.end(false)))
  return { ...answer.exchange, leave: () => leaving.abort() }
}

function newAnswer () {
  const heard: Heard = { status: null, headers: {}, setCookie: [], body: '', whole: false }
  let hasBegun!: (value?: unknown) => void
  let hasEnded!: (value: Heard) => void
  const exchange = {
    begun: new Promise(resolve => { hasBegun = resolve }),
    heard: new Promise<Heard>(resolve => { hasEnded = resolve })
  }
  return {
    exchange,
    begin (status: number | null, headers: Heard['headers']): void {
      heard.status = status
      heard.headers = headers
      heard.setCookie = [headers['set-cookie'] ?? []].flat()
      hasBegun()
    },
    read (body: Readable): void {
      body.setEncoding('utf8')
      body.on('data', (text) => { heard.body += text })
      body.on('end', () => this.end(true))
      body.on('error', () => this.end(false))
      body.on('close', () => this.end(false))
    },
    end (whole: boolean): void {
      heard.whole ||= whole
      hasEnded(heard)
    }
  }
}
