// The demo, as a visitor uses it, and as `npm start` starts it.
import type { FastifyInstance } from 'fastify'
import type { ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { freePort, listening, startNode } from './helpers/plain-node.js'

const DEMO = join(import.meta.dirname, '../examples/demo')
// The demo is JavaScript; a computed name keeps the type checker out of it.
const { buildDemo } = await import([DEMO, 'app.js'].join('/'))

/** A browser: sends forms, keeps the cookie, follows redirects. */
class Browser {
  cookie: string | undefined
  readonly #app: FastifyInstance

  constructor (app: FastifyInstance) {
    this.#app = app
  }

  async get (url = '/') {
    return await this.#send('GET', url)
  }

  async post (url: string, fields: Record<string, string> = {}) {
    const response = await this.#send('POST', url, fields)
    return response.statusCode === 303 ? await this.get(response.headers.location as string) : response
  }

  async #send (method: 'GET' | 'POST', url: string, fields?: Record<string, string>) {
    const response = await this.#app.inject({
      method,
      url,
      headers: {
        accept: 'text/html',
        ...(this.cookie && { cookie: `sessionId=${this.cookie}` }),
        ...(fields && { 'content-type': 'application/x-www-form-urlencoded' })
      },
      ...(fields && { payload: new URLSearchParams(fields).toString() })
    })
    for (const { name, value } of response.cookies) if (name === 'sessionId') this.cookie = value || undefined
    return response
  }
}

function open (t: Test, directory = join(t.testdir({}), 'sessions')): { app: FastifyInstance, browser: Browser, directory: string } {
  const app = buildDemo({ directory })
  t.teardown(() => app.close())
  return { app, browser: new Browser(app), directory }
}

/** The text of a cell in the table of the page. */
function cell (html: string, name: string): string | undefined {
  return new RegExp(`<th scope="row">${name}</th>\\s*<td[^>]*>(?:<[^>]+>)?([^<]*)`).exec(html)?.[1]
}

t.test('the page counts the visits and shows the session', async (t) => {
  const { browser, directory } = open(t)
  const first = await browser.get()
  t.equal(first.statusCode, 200)
  t.match(first.headers['content-type'], /^text\/html/)
  t.equal(cell(first.body, 'Visits'), '1')
  t.equal(cell(first.body, 'New'), 'yes')
  t.match(first.headers['set-cookie'], /^sessionId=[\w-]{32}; Max-Age=3600; Path=\/; HttpOnly; SameSite=Lax$/)
  const second = await browser.get()
  t.equal(cell(second.body, 'Visits'), '2')
  t.equal(cell(second.body, 'New'), 'no')
  t.notMatch(second.body, browser.cookie!, 'the page does not show the id')
  t.equal(readdirSync(directory).length, 1)
})

t.test('the page runs nothing but its own script and style', async (t) => {
  const { browser } = open(t)
  const { body, headers } = await browser.get()
  const style = /<style>([^]*?)<\/style>/.exec(body)![1]!
  const hash = createHash('sha256').update(style).digest('base64')
  t.match(headers['content-security-policy'], `style-src 'sha256-${hash}'`)
  t.same([...body.matchAll(/<script[^>]*>/g)].map(match => match[0]), ['<script src="/app.js" type="module">'])
  t.notMatch(body, / (on\w+|style)=/)
})

t.test('forms change the data, and show them as text', async (t) => {
  const { browser } = open(t)
  await browser.get()
  const page = await browser.post('/data', { key: 'colour', value: '<b onclick="x">red</b>' })
  t.equal(cell(page.body, 'colour'), '&lt;b onclick=&quot;x&quot;&gt;red&lt;/b&gt;')
  t.equal(cell((await browser.post('/data/remove', { key: 'colour' })).body, 'colour'), undefined)
})

t.test('a wrong form gets a page with the reason, and changes nothing', async (t) => {
  const { browser } = open(t)
  await browser.get()
  const response = await browser.post('/data', { value: 'without a key' })
  t.equal(response.statusCode, 400)
  t.match(response.headers['content-type'], /^text\/html/)
  t.match(response.body, 'Back to the session')
  t.equal(cell((await browser.get()).body, 'Visits'), '2')
})

t.test('a login gives a new id and keeps the visits; a logout ends the session', async (t) => {
  const { app, browser } = open(t)
  await browser.get()
  await browser.post('/data', { key: 'colour', value: 'red' })
  const before = browser.cookie
  const page = await browser.post('/login', { name: ' Ada ' })
  t.not(browser.cookie, before)
  t.equal(cell(page.body, 'User'), 'Ada')
  t.equal(cell(page.body, 'Visits'), '3')
  t.equal(cell(page.body, 'colour'), undefined)
  t.equal(await app.sessions.get(before!), null)

  const old = browser.cookie!
  const after = await browser.post('/logout')
  t.equal(cell(after.body, 'User'), 'nobody logged in')
  t.equal(cell(after.body, 'Visits'), '1')
  t.equal(await app.sessions.get(old), null)
  t.equal(await app.sessions.count(), 1)
})

t.test('ten requests at once count to ten with the lock, and lose updates without', async (t) => {
  const { browser } = open(t)
  await browser.get()
  const counter = async (): Promise<number> => (await browser.get('/counter')).json().counter
  const ten = async (url: string) => await Promise.all(Array.from({ length: 10 }, () => browser.post(url)))

  const locked = await ten('/count/locked')
  t.same(locked.map(({ statusCode }) => statusCode), Array(10).fill(200))
  t.equal(await counter(), 10)

  await ten('/count/unlocked')
  const risen = await counter() - 10
  t.ok(risen >= 1 && risen < 10, `it rose by ${risen}`)

  const stats = (await browser.get('/stats')).json()
  t.equal(stats['locks.held'], 0)
  t.equal(stats['locks.acquired'], stats['locks.released'])
})

t.test('what needs no session makes none', async (t) => {
  const { app, browser } = open(t)
  const script = await browser.get('/app.js')
  t.match(script.headers['content-type'], /^text\/javascript/)
  await browser.get('/stats')
  await browser.get('/no-such-page')
  t.equal(browser.cookie, undefined)
  t.equal(await app.sessions.count(), 0)
})

t.test('a session outlives the server', async (t) => {
  const { app, browser, directory } = open(t)
  await browser.get()
  await app.close()
  const next = open(t, directory)
  next.browser.cookie = browser.cookie
  t.equal(cell((await next.browser.get()).body, 'Visits'), '2')
})

t.test('the server prints where it is, answers, and ends on SIGTERM', async (t) => {
  const directory = join(t.testdir({}), 'sessions')
  const server = new Server(t, { PORT: '0', SESSIONS: directory })
  await server.prints(/Stop it with/)
  t.match(server.output, `Sessions: ${directory}`)
  const address = /Demo: +(http:\/\/127\.0\.0\.1:\d+)/.exec(server.output)![1]!
  const response = await fetch(address)
  t.equal(response.status, 200)
  t.match(await response.text(), '<h1>fastify-locked-session</h1>')
  server.child.kill('SIGTERM')
  t.equal(await server.exitCode, 0)
  t.equal(server.output.split('\n').length, 4, 'it prints nothing else')
})

t.test('the server says why it cannot start', async (t) => {
  const port = await freePort()
  const first = new Server(t, { PORT: String(port), SESSIONS: t.testdir({ }) })
  await listening(port)
  const second = new Server(t, { PORT: String(port), SESSIONS: t.testdirName })
  t.equal(await second.exitCode, 1)
  t.match(second.output, /could not start: .*EADDRINUSE/)
  const third = new Server(t, { PORT: 'http', SESSIONS: t.testdirName })
  t.equal(await third.exitCode, 1)
  t.match(third.output, "not 'http'")
  first.child.kill('SIGINT')
  t.equal(await first.exitCode, 0)
})

class Server {
  output = ''
  readonly child: ChildProcess
  readonly exitCode: Promise<number | null>

  constructor (t: Test, env: Record<string, string>) {
    this.child = startNode([join(DEMO, 'server.js')], { cwd: t.testdirName, env })
    this.exitCode = once(this.child, 'exit').then(([code]) => code)
    for (const stream of [this.child.stdout!, this.child.stderr!]) stream.setEncoding('utf8').on('data', (text) => { this.output += text })
    t.teardown(() => { this.child.kill('SIGKILL') })
  }

  async prints (pattern: RegExp): Promise<void> {
    while (!pattern.test(this.output)) await once(this.child.stdout!, 'data')
  }
}
