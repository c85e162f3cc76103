// The examples of other plugins, as their visitors use them: real servers, several tabs at once.
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { atOnce, Browser } from './helpers/browser.js'
import { freePort, startNode } from './helpers/plain-node.js'

const EXAMPLES = join(import.meta.dirname, '../examples/plugins')

/** The examples are JavaScript, so nobody tells the types what @fastify/under-pressure adds. */
type App = FastifyInstance & { isUnderPressure (): boolean }

async function start (t: Test, name: string, options = {}): Promise<{ app: App, browser: Browser }> {
  return await listen(t, await build(name, options))
}

async function build (name: string, options: object): Promise<App> {
  return await (await import(join(EXAMPLES, `${name}.js`))).build(options)
}

async function listen<T extends FastifyInstance> (t: Test, app: T, port = 0): Promise<{ app: T, browser: Browser }> {
  const address = await app.listen({ host: '127.0.0.1', port })
  t.teardown(() => app.close())
  return { app, browser: new Browser(address) }
}

/** How many locks are held or waited for. */
function locks (app: FastifyInstance): { held: number, waiting: number } {
  const { held, waiting } = app.sessions.stats().locks
  return { held, waiting }
}

const FREE = { held: 0, waiting: 0 }

t.test('@fastify/flash', async (t) => {
  t.test('a message survives a redirect once, also when two tabs ask for it', async (t) => {
    const { browser } = await start(t, 'flash')
    const answer = await browser.send('/notes')
    t.match(answer, { status: 303 })
    const pages = await atOnce(5, () => browser.get('/'))
    t.same(pages.flatMap(({ messages }) => messages), ['The note is saved.'])
    t.same(await browser.get('/'), { messages: [] })
  })

  t.test('messages of many tabs at once are all kept', async (t) => {
    const { browser } = await start(t, 'flash')
    await browser.send('/notes')
    await atOnce(20, () => browser.send('/notes'))
    t.equal((await browser.get('/')).messages.length, 21)
  })

  t.test('S4: who only looks at the page gets no session', async (t) => {
    const { app, browser } = await start(t, 'flash')
    t.same(await browser.get('/'), { messages: [] })
    t.equal(browser.id, undefined)
    t.equal(await app.sessions.count(), 0)
  })
})

t.test('@fastify/csrf-protection', async (t) => {
  t.test('a token is needed, and must be of this session', async (t) => {
    const { browser } = await start(t, 'csrf-protection')
    const { token } = await browser.get('/form')
    const other = new Browser(browser.address)
    const { token: foreign } = await other.get('/form')
    t.match(await (await browser.send('/transfer')).json(), { statusCode: 403, code: 'FST_CSRF_INVALID_TOKEN' })
    t.match(await browser.post('/transfer', { _csrf: foreign }), { statusCode: 403, code: 'FST_CSRF_INVALID_TOKEN' })
    t.same(await browser.post('/transfer', { _csrf: token }), { transfers: 1 }, 'in the body')
    const answer = await browser.send('/transfer', {}, { 'csrf-token': token })
    t.same(await answer.json(), { transfers: 2 }, 'in a header')
    t.match(await new Browser(browser.address).post('/transfer', { _csrf: token }), { code: 'FST_CSRF_MISSING_SECRET' }, 'without a session')
  })

  t.test('the tokens of tabs that open at once are all good', async (t) => {
    const { app, browser } = await start(t, 'csrf-protection')
    await browser.post('/login') // A session without a secret.
    const tokens = await atOnce(10, async (index) => (await browser.get(index % 2 === 0 ? '/form' : '/slow-form')).token)
    const answers = await Promise.all(tokens.map(_csrf => browser.post('/transfer', { _csrf })))
    t.same(answers.map(({ transfers }) => transfers).sort((a, b) => a - b), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    t.same(locks(app), FREE)
  })

  t.test('a token from before the login is refused after it', async (t) => {
    const { browser } = await start(t, 'csrf-protection')
    const { token } = await browser.get('/form')
    await browser.post('/login')
    await browser.get('/form')
    t.match(await browser.post('/transfer', { _csrf: token }), { statusCode: 403, code: 'FST_CSRF_INVALID_TOKEN' })
  })
})

t.test('@fastify/passport', async (t) => {
  t.test('a login changes the id, keeps the named keys and says who it is', async (t) => {
    const { app, browser } = await start(t, 'passport')
    await browser.post('/cart', { article: 'tea' })
    const before = browser.id!
    t.match(await browser.send('/login', { name: 'ada', password: 'wrong' }), { status: 401 })
    t.equal(browser.id, before)
    t.same(await browser.post('/login', { name: 'ada', password: 'lovelace' }), { user: 'ada' })
    t.not(browser.id, before)
    t.equal(await app.sessions.get(before), null, 'the old id is dead')
    t.same(await browser.get('/account'), { user: 'ada' })
    t.same(await browser.get('/name'), { user: 'ada', cart: ['tea'] })
  })

  t.test('a logout changes the id, too, and leaves nothing', async (t) => {
    const { app, browser } = await start(t, 'passport')
    await browser.post('/login', { name: 'ada', password: 'lovelace' })
    const before = browser.id!
    await browser.post('/cart', { article: 'tea' })
    t.same(await browser.post('/logout'), { user: null })
    t.equal(await app.sessions.get(before), null)
    t.match(await browser.fetch('/account'), { status: 401 })
    t.same(await browser.get('/name'), { user: null, cart: [] })
  })

  t.test('destroyByUser() ends the sessions of a user', async (t) => {
    const { app, browser } = await start(t, 'passport')
    await browser.post('/login', { name: 'ada', password: 'lovelace' })
    t.equal(await app.sessions.destroyByUser('ada'), 1)
    t.match(await browser.fetch('/account'), { status: 401 })
  })

  t.test('I3: what other tabs add during a login is kept, or refused', async (t) => {
    const { app, browser } = await start(t, 'passport')
    await browser.post('/cart', { article: 'first' })
    const { header } = browser
    const add = async (index: number) => {
      const tab = new Browser(browser.address) // With the old cookie, whatever happens meanwhile.
      const answer = await tab.fetch('/cart', { method: 'POST', headers: { cookie: header, 'content-type': 'application/json' }, body: JSON.stringify({ article: `article ${index}` }) })
      // A cookie in the answer: it came after the login, and got a session of its own.
      return { status: answer.status, inOldSession: answer.status === 200 && tab.id === undefined }
    }
    const login = async () => {
      await sleep(2)
      t.same(await browser.post('/login', { name: 'ada', password: 'lovelace' }), { user: 'ada' })
    }
    const [tabs] = await Promise.all([atOnce(30, add), login()])
    t.same(tabs.filter(({ status }) => status !== 200 && status !== 409), [])
    const { cart } = await browser.get('/name')
    t.equal(cart.length, 1 + tabs.filter(({ inOldSession }) => inOldSession).length, 'no update is lost')
    t.same(locks(app), FREE)
  })
})

t.test('@fastify/websocket', async (t) => {
  t.test('L6: an open socket holds no lock; its messages and other tabs lose nothing', async (t) => {
    const { app, browser } = await start(t, 'websocket')
    await browser.post('/count')
    const sockets = await atOnce(3, () => connect(t, browser))
    t.same(locks(app), FREE)
    await Promise.all([
      ...sockets.map(socket => atOnce(10, () => ask(socket))),
      atOnce(20, () => browser.post('/count'))
    ])
    t.same(await browser.post('/count'), { count: 1 + 3 * 10 + 20 + 1 })
    t.same(sockets.map(({ readyState }) => readyState), [WebSocket.OPEN, WebSocket.OPEN, WebSocket.OPEN])
  })

  t.test('S2: a message after the logout brings nothing back; the socket is closed', async (t) => {
    const { app, browser } = await start(t, 'websocket')
    await browser.post('/count')
    const socket = await connect(t, browser)
    await ask(socket)
    await browser.post('/logout')
    socket.send('still there')
    const [code] = await once(socket, 'close')
    t.equal(code, 1008)
    t.equal(await app.sessions.count(), 0)
  })

  t.test('who has no session, or comes from another page, is refused', async (t) => {
    const { app, browser } = await start(t, 'websocket')
    t.equal(await refusal(browser), 401)
    await browser.post('/count')
    t.equal(await refusal(browser, { origin: 'http://evil.example' }), 403)
    t.same(locks(app), FREE)
    t.same(await browser.post('/count'), { count: 2 })
  })

  t.test('S4: an upgrade begins no session, since its cookie could not be sent', async (t) => {
    const { app, browser } = await start(t, 'websocket')
    // A new route for a built application: made before it listens.
    const other = await build('websocket', {})
    other.get('/writes', { websocket: true, preValidation: async ({ session }: FastifyRequest) => { session.set('count', 1) } } as object, (socket: any) => socket.send('open'))
    const { browser: visitor } = await listen(t, other)
    const socket = new WebSocket(new URL('/writes', visitor.address))
    await once(socket, 'message')
    t.teardown(() => socket.terminate())
    t.equal(await other.sessions.count(), 0)
    t.same(locks(other), FREE)

    // A session that exists may be written in the upgrade.
    await visitor.post('/count')
    await visitor.post('/count')
    const known = new WebSocket(new URL('/writes', visitor.address), { headers: { cookie: visitor.header } })
    await once(known, 'message')
    t.teardown(() => known.terminate())
    t.same(await visitor.post('/count'), { count: 2 })
    t.equal(await app.sessions.count(), 0)
    t.equal(browser.id, undefined)
  })
})

async function connect (t: Test, browser: Browser): Promise<WebSocket> {
  const socket = new WebSocket(new URL('/socket', browser.address), { headers: { cookie: browser.header, origin: browser.address } })
  t.teardown(() => socket.terminate())
  await once(socket, 'open')
  return socket
}

/** Sends a message and waits for an answer; not necessarily to this one. */
async function ask (socket: WebSocket): Promise<void> {
  const answer = once(socket, 'message')
  socket.send('hello')
  await answer
}

async function refusal (browser: Browser, headers = {}): Promise<number> {
  const socket = new WebSocket(new URL('/socket', browser.address), { headers: { ...headers, ...(browser.id && { cookie: browser.header }) } })
  const [, response] = await once(socket, 'unexpected-response')
  response.resume()
  return response.statusCode
}

t.test('server-sent events', async (t) => {
  for (const path of ['/events', '/events/raw']) {
    t.test(`L6: an open stream of ${path} holds no lock`, async (t) => {
      const { app, browser } = await start(t, 'server-sent-events')
      await browser.post('/count')
      const streams = await atOnce(3, () => Stream.open(t, browser, path))
      for (const stream of streams) await stream.until(1)
      t.same(locks(app), FREE)
      await atOnce(20, () => browser.post('/count'))
      for (const stream of streams) await stream.until(21)
      t.same(await browser.post('/count'), { count: 22 })
    })
  }

  t.test('a stream writes to the session while it is open, and loses nothing', async (t) => {
    const { app, browser } = await start(t, 'server-sent-events')
    await browser.post('/count')
    const streams = await atOnce(2, () => Stream.open(t, browser, '/events/raw'))
    await atOnce(10, () => browser.post('/count'))
    for (const stream of streams) await stream.until(11)
    // What is heard last is noted after it was sent.
    while ((await browser.get('/session')).heard !== 20) await sleep(5)
    t.same(await browser.get('/session'), { count: 11, streams: 2, heard: 20 })
    t.same(locks(app), FREE)
  })

  t.test('a session that begins with a raw stream gets its cookie', async (t) => {
    const { app, browser } = await start(t, 'server-sent-events')
    await Stream.open(t, browser, '/events/raw')
    t.not(browser.id, undefined)
    t.same(await browser.get('/session'), { streams: 1 })
    t.equal(await app.sessions.count(), 1)
  })

  t.test('without a session there is nothing to hear', async (t) => {
    const { browser } = await start(t, 'server-sent-events')
    t.equal((await browser.fetch('/events')).status, 204)
  })
})

class Stream {
  #text = ''
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>

  private constructor (response: Response) {
    this.#reader = response.body!.getReader() as ReadableStreamDefaultReader<Uint8Array>
  }

  static async open (t: Test, browser: Browser, path: string): Promise<Stream> {
    const controller = new AbortController()
    t.teardown(() => controller.abort())
    const response = await browser.fetch(path, { signal: controller.signal })
    t.match(response.headers.get('content-type'), 'text/event-stream')
    return new Stream(response)
  }

  /** Reads until this count has come. */
  async until (count: number): Promise<void> {
    while (!this.#text.includes(`data: ${count}\n\n`)) {
      const { value, done } = await this.#reader.read()
      if (done) throw new Error('The stream has ended')
      this.#text += Buffer.from(value)
    }
  }
}

t.test('@fastify/multipart', async (t) => {
  t.test('a slow upload on an explicit route blocks nobody, and nothing is lost', async (t) => {
    const { app, browser } = await start(t, 'multipart')
    await browser.post('/count')
    const uploads = await atOnce(3, async (index) => new Upload(browser, `file-${index}.txt`))
    for (const upload of uploads) await upload.send('the first half ')
    t.same(locks(app), FREE, 'while they are under way')
    await atOnce(20, () => browser.post('/count'))
    t.same(uploads.map(({ isOver }) => isOver), [false, false, false])
    await Promise.all([
      ...uploads.map(upload => upload.finish('and the second')),
      atOnce(20, () => browser.post('/count'))
    ])
    const { count, uploads: noted } = await browser.get('/session')
    t.equal(count, 41)
    t.same(noted.map(({ name }: { name: string }) => name).sort(), ['file-0.txt', 'file-1.txt', 'file-2.txt'])
    t.ok(noted.every(({ bytes }: { bytes: number }) => bytes === 29))
  })

  t.test('L6: an upload that breaks off leaves no lock and notes nothing', async (t) => {
    const { app, browser } = await start(t, 'multipart')
    await browser.post('/count')
    const upload = new Upload(browser, 'broken.txt')
    await upload.send('the first half ')
    upload.abort()
    t.same(await browser.post('/count'), { count: 2 })
    while (app.server.listening && await connections(app) > 1) await sleep(5)
    t.same(await browser.get('/session'), { count: 2 })
    t.same(locks(app), FREE)
  })
})

/** Sends a file piece by piece. */
class Upload {
  isOver = false
  readonly #request
  readonly #answer: Promise<unknown>

  constructor (browser: Browser, name: string) {
    this.#request = httpRequest(new URL('/upload', browser.address), {
      method: 'POST',
      headers: { cookie: browser.header, 'content-type': 'multipart/form-data; boundary=piece' }
    })
    this.#answer = once(this.#request, 'response').then(([response]) => {
      this.isOver = true
      response.resume()
    })
    this.#answer.catch(() => {}) // An upload that was broken off has none.
    this.#request.write(`--piece\r\nContent-Disposition: form-data; name="file"; filename="${name}"\r\nContent-Type: text/plain\r\n\r\n`)
  }

  /** Resolves when the server has it, as far as one can know: it is out, and others were served since. */
  async send (text: string): Promise<void> {
    await new Promise(resolve => this.#request.write(text, resolve))
    await sleep(20)
  }

  async finish (text: string): Promise<void> {
    this.#request.end(`${text}\r\n--piece--\r\n`)
    await this.#answer
  }

  abort (): void {
    this.#request.destroy()
  }
}

async function connections (app: FastifyInstance): Promise<number> {
  return await new Promise((resolve, reject) => {
    app.server.getConnections((error, count) => error ? reject(error) : resolve(count))
  })
}

t.test('@fastify/rate-limit', async (t) => {
  t.test('the limit holds per session, not per address', async (t) => {
    const { app, browser } = await start(t, 'rate-limit', { max: 5 })
    await browser.get('/') // Without a session: counted by address.
    const answers = await atOnce(8, () => browser.fetch('/'))
    t.equal(answers.filter(({ status }) => status === 200).length, 5)
    t.equal(answers.filter(({ status }) => status === 429).length, 3)
    t.equal(answers.find(({ status }) => status === 429)!.headers.get('retry-after'), '60')

    const other = new Browser(browser.address)
    await other.get('/')
    t.same(await other.get('/'), { visits: 2 }, 'the same address, another session')
    t.same(locks(app), FREE)
    t.same([...(await app.sessions.get(browser.id!))!], [['visits', 6]], 'what was refused has written nothing')
  })

  t.test('who throws the cookie away is counted by address', async (t) => {
    const { browser } = await start(t, 'rate-limit', { max: 5 })
    const answers = await atOnce(8, () => new Browser(browser.address).fetch('/'))
    t.equal(answers.filter(({ status }) => status === 429).length, 3)
  })
})

t.test('@fastify/view', async (t) => {
  t.test('a template reads the session, escaped; what the page writes is saved', async (t) => {
    const { browser } = await start(t, 'view')
    t.equal((await browser.send('/articles', { article: '<b>tea</b>' })).status, 303)
    const page = await browser.fetch('/')
    t.match(page.headers.get('content-type'), 'text/html')
    const html = await page.text()
    t.match(html, '<p>View 1</p>')
    t.match(html, '<li>&lt;b&gt;tea&lt;/b&gt;</li>')
  })

  t.test('pages of many tabs at once are all counted', async (t) => {
    const { app, browser } = await start(t, 'view')
    await browser.fetch('/')
    const pages = await atOnce(20, async () => (await browser.fetch('/')).text())
    t.equal(new Set(pages).size, 20, 'each shows another number')
    t.match(await (await browser.fetch('/')).text(), '<p>View 22</p>')
    t.same(locks(app), FREE)
  })
})

t.test('@fastify/oauth2', async (t) => {
  const startBoth = async (t: Test, options = {}) => {
    const port = await freePort()
    const origin = `http://127.0.0.1:${port}`
    const { app: provider, browser: { address } } = await start(t, 'oauth2-provider', options)
    const shop = await listen(t, await build('oauth2', { origin, provider: address }), port)
    return { ...shop, provider }
  }
  /** To the provider and back: the address of the callback. */
  const authorize = async (browser: Browser) => {
    const there = await browser.fetch('/login')
    const back = await fetch(there.headers.get('location')!, { redirect: 'manual' })
    return back.headers.get('location')!
  }

  t.test('a login changes the id and keeps the cart; the state is good once', async (t) => {
    const { app, browser } = await startBoth(t)
    await browser.post('/cart', { article: 'tea' })
    const before = browser.id!
    const callback = await authorize(browser)
    const answer = await browser.fetch(callback)
    t.match(answer, { status: 303 })
    t.not(browser.id, before)
    t.equal(await app.sessions.get(before), null)
    t.same(await browser.get('/'), { user: 'ada', cart: ['tea'] })
    t.equal((await browser.fetch(callback)).status, 500, 'the same callback again')
    t.same(await browser.get('/'), { user: 'ada', cart: ['tea'] })
  })

  t.test('a callback that another browser began, or with a wrong state, is refused', async (t) => {
    const { browser } = await startBoth(t)
    const attacker = new Browser(browser.address)
    const callback = await authorize(attacker)
    await browser.post('/cart', { article: 'tea' })
    t.equal((await browser.fetch(callback)).status, 500)
    const wrong = new URL(await authorize(browser))
    wrong.searchParams.set('state', 'guessed')
    t.equal((await browser.fetch(wrong.href)).status, 500)
    t.same(await browser.get('/'), { user: null, cart: ['tea'] })
  })

  t.test('the states of tabs that begin at once are all kept', async (t) => {
    const { app, browser } = await startBoth(t)
    await browser.post('/cart', { article: 'tea' })
    const places = await atOnce(5, async () => new URL((await browser.fetch('/login')).headers.get('location')!))
    const states = (await app.sessions.get(browser.id!))!.get('loginStates')
    t.same([...states].sort(), places.map(({ searchParams }) => searchParams.get('state')!).sort())
  })

  t.test('while the provider is slow, other tabs go on', async (t) => {
    const { app, browser } = await startBoth(t, { delay: 300 })
    await browser.post('/cart', { article: 'tea' })
    const callback = await authorize(browser)
    let isOver = false
    const login = browser.fetch(callback).finally(() => { isOver = true })
    await sleep(50) // The callback is with the provider.
    const tab = new Browser(browser.address)
    for (const [name, value] of browser.cookies) tab.cookies.set(name, value)
    await atOnce(10, () => tab.post('/cart', { article: 'milk' }))
    t.equal(isOver, false)
    t.same(locks(app), FREE)
    t.equal((await login).status, 303)
    t.equal((await browser.get('/')).cart.length, 11)
  })
})

t.test('@fastify/http-proxy', async (t) => {
  const startBoth = async (t: Test) => {
    const { default: Fastify } = await import('fastify')
    const service = Fastify()
    const seen = { atOnce: 0, most: 0, headers: {} as Record<string, unknown> }
    service.all('/*', async (request, reply) => {
      seen.headers = request.headers
      seen.most = Math.max(seen.most, ++seen.atOnce)
      await sleep(100)
      seen.atOnce--
      reply.header('set-cookie', 'theirs=1; Path=/')
      return { path: request.url }
    })
    const { browser: { address } } = await listen(t, service)
    const { app, browser } = await start(t, 'http-proxy', { upstream: address })
    t.equal((await browser.fetch('/api/things')).status, 401)
    await browser.post('/login', { name: 'Ada Łovelace' })
    return { app, browser, seen }
  }

  t.test('the service gets the name and not the cookie, and its own cookie passes', async (t) => {
    const { browser, seen } = await startBoth(t)
    const answer = await browser.fetch('/api/things', { headers: { 'x-user': 'somebody else' } })
    t.same(await answer.json(), { path: '/things' })
    t.equal(seen.headers['x-user'], encodeURIComponent('Ada Łovelace'))
    t.equal(seen.headers.cookie, undefined)
    t.equal(browser.cookies.get('theirs'), '1')
  })

  t.test('L3: on a readonly proxy a slow service blocks nobody', async (t) => {
    const { app, browser, seen } = await startBoth(t)
    let isOver = false
    const slow = atOnce(3, () => browser.get('/api/things')).finally(() => { isOver = true })
    while (seen.atOnce < 3) await sleep(5)
    t.same(locks(app), FREE)
    await atOnce(10, () => browser.post('/count'))
    t.equal(isOver, false)
    await slow
    t.same(await browser.post('/count'), { count: 11 })
  })

  t.test('L1: on an implicit proxy the requests of a session reach the service one by one', async (t) => {
    const { app, browser, seen } = await startBoth(t)
    const other = new Browser(browser.address)
    await other.post('/login', { name: 'bob' })
    const mine = atOnce(3, () => browser.post('/orders/new'))
    await mine
    t.equal(seen.most, 1)
    await Promise.all([browser.post('/orders/new'), other.post('/orders/new')])
    t.equal(seen.most, 2, 'another session does not wait')
    t.same(locks(app), FREE)
  })
})

t.test('@fastify/under-pressure', async (t) => {
  t.test('a refusal does not wait for the lock; the status route has no session', async (t) => {
    let healthy = true
    const { app, browser } = await start(t, 'under-pressure', { healthCheck: async () => healthy, healthCheckInterval: 10 })
    await browser.post('/count')
    const counting = atOnce(10, () => browser.post('/count')) // Ten times 50 ms, one after the other.
    while (locks(app).waiting < 9) await sleep(1)
    healthy = false
    while (!app.isUnderPressure()) await sleep(1)
    const refused = await browser.send('/count')
    t.match(await refused.json(), { statusCode: 503, code: 'FST_UNDER_PRESSURE' })
    t.equal(locks(app).held, 1, 'the others are still at it')
    t.equal((await browser.fetch('/status')).headers.get('vary'), null)
    healthy = true
    await counting
    while (app.isUnderPressure()) await sleep(1)
    t.same(await browser.post('/count'), { count: 12 })
    t.same(locks(app), FREE)
  })
})

t.test('every example listens when it is started as a program', async (t) => {
  const programs = readdirSync(EXAMPLES).filter(name => name.endsWith('.js'))
  t.equal(programs.length, 12)
  for (const name of programs) {
    // The ports in the examples are fixed; a loader in front would be more than this is worth.
    const child = startNode(['--import', `data:text/javascript,${encodeURIComponent(ANY_PORT)}`, join(EXAMPLES, name)], { cwd: EXAMPLES })
    child.stderr!.pipe(process.stderr)
    const [line] = await once(child.stdout!.setEncoding('utf8'), 'data')
    t.match(line, /^http:\/\/\S+:\d+\n$/, name)
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
})

/** Run before the example: whatever port it asks for, it gets a free one. */
const ANY_PORT = `
  import { Server } from 'node:net'
  const { listen } = Server.prototype
  Server.prototype.listen = function (options, ...more) { return listen.call(this, { ...options, port: 0 }, ...more) }`
