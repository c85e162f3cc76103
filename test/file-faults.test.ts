// The file store and everything that can go wrong with files.
import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import sessionPlugin from '../lib/index.js'
import { FileStore } from '../lib/stores/file/index.js'
import { compileTo } from './helpers/compile.js'
import { type Call, interceptStore, type Operation } from './helpers/faulty-io.js'
import type { Answer, Visitor } from './helpers/http-client.js'
import { LocalServer } from './helpers/local-server.js'
import { seededRandom } from './helpers/seeded-random.js'
import { SessionFiles } from './helpers/session-files.js'
import { TinyDisk } from './helpers/tiny-disk.js'

const base = t.testdir()
const isRoot = process.getuid?.() === 0
const needsMount = { skip: TinyDisk.isAllowed(join(base, 'probe')) ? false : 'this user may not mount' }
const random = seededRandom(20)

/** "At once", on a machine that has other things to do. */
const AT_ONCE = 1000

function newFolder (name: string): SessionFiles {
  return new SessionFiles(join(base, name))
}

function newStore (folder: SessionFiles): FileStore {
  return new FileStore({ directory: folder.path })
}

async function open (directory: string): Promise<void> {
  const app = Fastify()
  try {
    await app.register(sessionPlugin, { store: new FileStore({ directory }) })
  } finally {
    await app.close()
  }
}

function withUmask<T> (mask: number, action: () => Promise<T>): Promise<T> {
  const before = process.umask(mask)
  return action().finally(() => process.umask(before))
}

t.test('F-07: the folder is deleted while the server runs', async (t) => {
  const folder = newFolder('deleted')
  const server = await LocalServer.start(t, newStore(folder), { touchInterval: 0 })
  const visitor = await server.known()
  const busy = await server.known()
  const slow = busy.post('/increment?work=200')
  await sleep(50)
  rmSync(folder.path, { recursive: true })

  t.same(await server.app.sessions.prune(), { deleted: 0, remaining: 0 })
  t.equal(await server.app.sessions.count(), 0)
  t.same((await visitor.get('/peek')).body, { found: false })
  t.same((await visitor.get('/visit')).body, { found: false })
  const lost = await slow
  t.equal(lost.status, 409, 'a save into nowhere is no success')
  t.equal(lost.body.code, 'FST_SESSION_LOCK_LOST')
  t.equal((await busy.post('/destroy')).status, 200)

  await visitor.post('/begin')
  t.equal((await visitor.post('/increment')).body.n, 1)
  t.equal(folder.mode(), 0o700)
  t.equal(folder.names.length, 1)
})

for (const mask of [0o000, 0o022, 0o077]) {
  t.test(`S-80: under umask ${mask.toString(8).padStart(3, '0')} the folder is private, and so are its files`, async (t) => {
    await withUmask(mask, async () => {
      const folder = newFolder(`umask${mask}`)
      const server = await LocalServer.start(t, newStore(folder))
      const visitor = await server.known()
      const [name] = folder.names
      t.equal(folder.mode(), 0o700)
      t.equal(folder.mode(name), 0o600)
      await visitor.post('/fill?size=5000')
      t.same(folder.names, [name])
      t.equal(folder.mode(name), 0o600, 'also after it has moved to a larger file')
    })
  })
}

t.test('S-80, S-81: a folder that others could tamper with is refused', async (t) => {
  const refused = { code: 'FST_SESSION_DIRECTORY' }
  const own = join(base, 'own')
  mkdirSync(own, { mode: 0o700 })
  await open(own)

  for (const mode of [0o770, 0o720, 0o702, 0o777, 0o1777]) {
    chmodSync(own, mode)
    await t.rejects(open(own), refused, mode.toString(8))
  }
  chmodSync(own, 0o700)

  const link = join(base, 'link')
  symlinkSync(own, link)
  await t.rejects(open(link), refused, 'a symbolic link')
  const dangling = join(base, 'dangling')
  symlinkSync(join(base, 'nowhere'), dangling)
  await t.rejects(open(dangling), refused, 'a symbolic link to nothing')

  const file = join(base, 'file')
  writeFileSync(file, '')
  await t.rejects(open(file), refused, 'a file')
  await t.rejects(open(join(file, 'below')), refused, 'a folder below a file')

  const server = await LocalServer.start(t, newStore(newFolder('own')))
  t.same(server.logs, [])
  chmodSync(own, 0o755)
  const listable = await LocalServer.start(t, newStore(newFolder('own')))
  t.equal(listable.logs.length, 1, 'one that others can list is worth a warning')
})

t.test('S-80: a folder of another user is refused', { skip: isRoot ? false : 'only root can give a folder away' }, async (t) => {
  const folder = join(base, 'foreign')
  mkdirSync(folder, { mode: 0o700 })
  chownSync(folder, 12345, 12345)
  await t.rejects(open(folder), { code: 'FST_SESSION_DIRECTORY' })
})

t.test('C2: whatever stands in the place of a session counts as missing, and nothing waits for it', async (t) => {
  const folder = newFolder('replaced')
  const server = await LocalServer.start(t, newStore(folder))
  const other = await server.known(7)
  const victim = await server.known(3)
  await victim.post('/fill?size=100')
  const pipes: net.Server[] = []
  t.teardown(() => pipes.forEach(pipe => pipe.close()))

  const things: Record<string, (path: string, name: string) => unknown> = {
    'an empty file': (path) => writeFileSync(path, ''),
    'random bytes': (path) => writeFileSync(path, Uint8Array.from({ length: 900 }, () => random() * 256)),
    'random bytes after the magic': (path) => writeFileSync(path, Uint8Array.from({ length: 900 }, (_, i) => [0x46, 0x4c, 0x53, 0x31][i] ?? random() * 256)),
    zeros: (path) => writeFileSync(path, Buffer.alloc(900)),
    'a text': (path) => writeFileSync(path, '{"n":99}'),
    'a folder': (path) => mkdirSync(path),
    'a symbolic link to another session': (path) => symlinkSync(folder.fileOf(other.cookie), path),
    'a symbolic link to nothing': (path) => symlinkSync('nowhere', path),
    'a named pipe': (path) => execFileSync('mkfifo', [path]),
    'a socket': async (_path, name) => {
      const before = process.cwd()
      process.chdir(folder.path) // The path of a socket has at most 107 characters.
      await new Promise<void>(resolve => pipes.push(net.createServer().listen(name, resolve)))
      process.chdir(before)
    },
    nothing () {}
  }
  for (const [what, put] of Object.entries(things)) {
    const { cookie } = await server.known(3)
    const path = folder.fileOf(cookie)
    rmSync(path)
    await put(path, path.slice(folder.path.length + 1))
    for (const ask of ['get /peek', 'get /visit', 'post /increment', 'post /section', 'post /destroy']) {
      const [method, route] = ask.split(' ') as ['get' | 'post', string]
      const logged = server.logs.length
      const { status, body, took, cookie: answered } = await server.visitor(cookie)[method](route)
      t.same({ status, body }, { status: 200, body: { found: false } }, `${what}, ${ask}`)
      t.ok(took < AT_ONCE, `${what}, ${ask}: answered after ${took} ms`)
      t.notOk(answered, 'without a cookie')
      t.ok(server.logs.length - logged <= 1, 'with at most one line in the log')
    }
    const visitor = server.visitor(cookie)
    await visitor.post('/begin')
    t.not(visitor.cookie, cookie, 'the id is not adopted')
    t.equal((await visitor.post('/increment')).body.n, 1)
    await server.app.sessions.prune()
    await server.app.sessions.count()
    t.equal((await other.get('/visit')).body.n, 7, 'the rest goes on')
    folder.remove(cookie)
  }
})

/** What a session may be after damage to its file: its newest state, the one before, or missing. Nothing else. */
function isOneOf ({ status, body }: Answer, ...counters: number[]): boolean {
  return status === 200 && (body.found === false || (counters.includes(body.n) && body.size === 5))
}

t.test('C2: flipped bits and truncated files show the newest state, the one before, or none', async (t) => {
  const folder = newFolder('damaged')
  const server = await LocalServer.start(t, newStore(folder))
  for (const n of [4, 5]) { // The newest state is in the first slot, and in the second.
    const visitor = await server.known(0)
    for (let i = 0; i < n; i++) await visitor.post('/fill?size=5')
    const { cookie } = visitor
    const intact = folder.read(cookie)
    const surprises: unknown[] = []
    const seen = new Set<unknown>()
    const check = async (what: string, damaged: Uint8Array) => {
      for (const route of ['/peek', '/visit']) {
        folder.write(cookie, damaged)
        const answer = await server.visitor(cookie).get(route)
        seen.add(answer.body.n)
        if (!isOneOf(answer, n, n - 1)) surprises.push([what, route, answer.status, answer.body])
      }
    }
    for (let at = 0; at < intact.length; at++) {
      const damaged = Buffer.from(intact)
      damaged[at]! ^= 1 << Math.floor(random() * 8)
      await check(`a bit in byte ${at}`, damaged)
    }
    for (let length = 0; length < intact.length; length += 5) {
      await check(`cut to ${length} bytes`, intact.subarray(0, length))
    }
    t.same(surprises, [])
    t.same([...seen].sort(), [n - 1, n, undefined], 'all three were seen')
    folder.write(cookie, intact)
    t.equal((await visitor.post('/fill?size=5')).body.n, n + 1)
  }
})

t.test('C2: a session goes on from its older state when the newest is torn', async (t) => {
  const folder = newFolder('torn')
  const server = await LocalServer.start(t, newStore(folder))
  const visitor = await server.known(3)
  truncateSync(folder.fileOf(visitor.cookie), folder.read(visitor.cookie).length - 1)
  t.equal((await visitor.get('/peek')).body.n, 2)
  for (let n = 3; n < 8; n++) t.equal((await visitor.post('/increment')).body.n, n)
})

t.test('C1: the cleaner deletes leftovers when they are old, and never what is not ours', async (t) => {
  const folder = newFolder('leftovers')
  const server = await LocalServer.start(t, newStore(folder))
  const live = await server.known(3)
  const put = (name: string, content: string | Uint8Array) => {
    writeFileSync(join(folder.path, name), content)
    return name
  }
  const torn = folder.read(live.cookie).subarray(0, 300)
  const ours = [put('a'.repeat(64), ''), put('b'.repeat(64), torn), put(`${'c'.repeat(64)}.0123456789abcdef.tmp`, 'unfinished')]
  const foreign = [put('d'.repeat(64), 'a text'), put('README', 'a text'), put(`${'e'.repeat(64)}.tmp`, ''), put('A'.repeat(64), '')]
  const liveName = folder.fileOf(live.cookie).slice(folder.path.length + 1)

  await server.app.sessions.prune()
  t.same(folder.names.sort(), [...ours, ...foreign, liveName].sort(), 'young ones may still be in the making')
  folder.age()
  await server.app.sessions.prune()
  t.same(folder.names.sort(), [...foreign, liveName].sort())
  t.equal((await live.get('/visit')).body.n, 3)
})

t.test('I8: a record larger than maxRecordSize is refused at load, and stays', async (t) => {
  const folder = newFolder('large')
  const generous = await LocalServer.start(t, newStore(folder))
  const strict = await LocalServer.start(t, newStore(folder), { maxRecordSize: 1000 })
  const visitor = await generous.known()
  for (const size of [2000, 500_000]) {
    await visitor.post(`/fill?size=${size}`)
    for (const route of ['/peek', '/visit']) {
      const { status, body } = await strict.visitor(visitor.cookie).get(route)
      t.equal(status, 500)
      t.equal(body.code, 'FST_SESSION_TOO_LARGE', `${size}, ${route}`)
    }
    await strict.app.sessions.prune()
    t.equal((await visitor.get('/peek')).body.size, size)
  }
  // So large that it must not be read at all.
  truncateSync(folder.fileOf(visitor.cookie), 2 ** 40)
  t.equal((await strict.visitor(visitor.cookie).get('/visit')).body.code, 'FST_SESSION_TOO_LARGE')
  t.equal(strict.app.sessions.stats().locks.held, 0)
})

/** A request that failed because of the store, and said so. */
function assertUnavailable (t: Test, { status, body, cookie }: Answer, visitor: Visitor, what: string): void {
  t.match({ status, body }, { status: 503, body: { code: 'FST_SESSION_STORE_UNAVAILABLE' } }, what)
  t.ok(cookie === null || cookie === visitor.cookie, `${what}: without a new cookie`)
}

t.test('F-06: the disk is full', needsMount, async (t) => {
  const disk = TinyDisk.mount(join(base, 'full'), 'size=256k')
  t.teardown(() => disk.unmount())
  const folder = new SessionFiles(join(disk.path, 'sessions'))
  const server = await LocalServer.start(t, newStore(folder), { touchInterval: 0 })
  const [stays, leaves] = [await server.known(1), await server.known(1)]
  const stranger = server.visitor()
  disk.fill()

  t.equal((await stays.post('/increment')).body.n, 2, 'what fits into its file is still saved')
  assertUnavailable(t, await stays.post('/fill?size=20000'), stays, 'growth')
  assertUnavailable(t, await stranger.post('/begin'), stranger, 'a new session')
  assertUnavailable(t, await stays.at(stays.port).post('/regenerate?keep=true'), stays, 'regenerate(true)')
  t.equal((await stays.get('/visit')).body.n, 2)
  t.same(folder.names.length, 2, 'nothing is left over')
  const loggedOut = await leaves.post('/destroy')
  t.equal(loggedOut.status, 200)
  t.equal(loggedOut.cookie, '', 'logout is possible')
  t.equal(folder.names.length, 1)
  t.equal((await server.visitor().post('/begin')).status, 200, 'and makes room')
  t.equal(server.app.sessions.stats().locks.held, 0)
})

t.test('F-06: the disk has no more inodes', needsMount, async (t) => {
  const disk = TinyDisk.mount(join(base, 'inodes'), 'size=1m,nr_inodes=4')
  t.teardown(() => disk.unmount())
  const folder = new SessionFiles(join(disk.path, 'sessions'))
  const server = await LocalServer.start(t, newStore(folder))
  const visitor = await server.known(1)
  disk.fill()
  const stranger = server.visitor()
  assertUnavailable(t, await stranger.post('/begin'), stranger, 'a new session')
  assertUnavailable(t, await visitor.post('/fill?size=20000'), visitor, 'growth')
  t.equal((await visitor.post('/increment')).body.n, 2, 'a save needs no new inode')
  t.equal((await visitor.post('/destroy')).status, 200)
})

t.test('F-07: the disk becomes read-only, and writable again', needsMount, async (t) => {
  const disk = TinyDisk.mount(join(base, 'readonly'), 'size=1m')
  t.teardown(() => disk.unmount())
  const folder = new SessionFiles(join(disk.path, 'sessions'))
  const before = await LocalServer.start(t, newStore(folder))
  const { cookie } = await before.known(3)
  await before.app.close() // It keeps files open, and as long as it does, nobody can make the disk read-only.
  disk.remount('ro')

  const server = await LocalServer.start(t, newStore(folder))
  const visitor = server.visitor(cookie)
  const stranger = server.visitor()
  t.equal((await visitor.get('/peek')).body.n, 3, 'reading goes on')
  assertUnavailable(t, await visitor.post('/increment'), visitor, 'a save')
  assertUnavailable(t, await visitor.post('/destroy'), visitor, 'a destroy')
  assertUnavailable(t, await stranger.post('/begin'), stranger, 'a new session')
  await server.app.sessions.prune()
  disk.remount('rw')
  t.equal((await visitor.post('/increment')).body.n, 4)
})

interface Scenario {
  name: string
  request: (visitor: Visitor) => Promise<Answer>
  /** What the session is after success. */
  success: object
  /** Until this operation is done, a failure leaves the session as it was. After it anything but a mixture is right. */
  turningPoint?: Operation
}

const found = (n: number, size = 0) => ({ found: true, n, size })
const missing = { found: false }
const old = found(2)
const scenarios: Scenario[] = [
  { name: 'a visit', request: visitor => visitor.get('/visit'), success: old },
  { name: 'a read', request: visitor => visitor.get('/peek'), success: old },
  { name: 'a save', request: visitor => visitor.post('/increment'), success: found(3), turningPoint: 'save' },
  { name: 'a section', request: visitor => visitor.post('/section'), success: found(3), turningPoint: 'save' },
  { name: 'growth', request: visitor => visitor.post('/fill?size=3000'), success: found(3, 3000), turningPoint: 'rename' },
  { name: 'a destroy', request: visitor => visitor.post('/destroy'), success: missing, turningPoint: 'unlink' },
  { name: 'a regenerate(true)', request: visitor => visitor.post('/regenerate?keep=true'), success: found(3), turningPoint: 'unlink' },
  { name: 'a regenerate()', request: visitor => visitor.post('/regenerate'), success: found(0), turningPoint: 'unlink' }
]

/** Reports an error as the kernel does: a file is closed all the same. What is done in the thread pool fails later. */
function fail (code: string, { operation, proceed }: Call, pooled = false): unknown {
  const error = Object.assign(new Error(`${code}: injected, ${operation}`), { code })
  if (operation === 'close') proceed()
  if (pooled && (operation === 'save' || operation === 'flush')) return Promise.reject(error)
  throw error
}

for (const options of [{}, { durable: true }, { durable: true, io: 'async' }] as const) {
  t.test(`F-06, F-08: any file operation may fail: the state is old or new, and nothing leaks ${JSON.stringify(options)}`, async (t) => {
    const folder = newFolder(`injected${Object.keys(options).length}`)
    for (const { name, request, success, turningPoint } of scenarios) {
      for (const code of 'durable' in options ? ['EIO', 'ENOSPC'] : ['EIO', 'ENOSPC', 'EMFILE']) {
        for (const lasting of [false, true]) {
          // Until it gets through because it has fewer operations.
          for (let n = 1, reached = true; reached; n++) {
            const store = new FileStore({ directory: folder.path, ...options })
            const server = await LocalServer.start(t, store, { touchInterval: 0, lockTimeout: 300 })
            const visitor = await server.known(2)
            const before = visitor.cookie
            const done = new Set<Operation>()
            let what = `${name}: ${code}`
            let count = 0
            const restore = interceptStore(store, (call) => {
              if (call.operation === 'warm') return call.proceed() // It is only a help, and never fails.
              count++
              if (lasting ? count >= n : count === n) {
                if (count === n) what += ` ${lasting ? 'from' : 'at'} operation ${n}, ${call.operation}`
                return fail(code, call, 'io' in options)
              }
              done.add(call.operation)
              return call.proceed()
            })
            const { status, body, cookie } = await request(visitor)
            restore()
            reached = count >= n
            const after = await visitor.get('/visit')
            what += `; answered ${status}, then ${after.status} ${JSON.stringify(after.body)}`
            t.equal(after.status, 200, what)
            const isUnavailable = status === 503 && body.code === 'FST_SESSION_STORE_UNAVAILABLE'
            if (status === 200) {
              t.same(after.body, success, what)
            } else {
              t.ok(isUnavailable, what)
              // When nothing works any more, the mark of a regenerated session cannot be taken back.
              const isUndecided = (turningPoint !== undefined && done.has(turningPoint)) || (lasting && done.has('write'))
              const states = isUndecided ? [old, success, missing] : [old]
              t.ok(states.some(state => isDeepStrictEqual(state, after.body)), what)
              if (!isUndecided) t.ok(cookie === null || cookie === before, what)
            }
            t.equal(server.app.sessions.stats().locks.held, 0, what)
            await server.app.close()
            t.equal(folder.openFiles, 0, `${what}: no file stays open`)
          }
        }
      }
    }
    const server = await LocalServer.start(t, newStore(folder))
    folder.age()
    const { remaining } = await server.app.sessions.prune()
    t.same(folder.leftovers, [])
    t.equal(await server.app.sessions.count(), remaining)
    t.equal(folder.names.length, remaining)
  })
}

t.test('F-08: out of file descriptors, files that are only kept open make room', async (t) => {
  const folder = newFolder('descriptors')
  const store = newStore(folder)
  const server = await LocalServer.start(t, store)
  const visitors = [await server.known(1), await server.known(2), await server.known(3)]
  const elsewhere = await (await LocalServer.start(t, newStore(folder))).known(4)
  interceptStore(store, (call) => {
    return call.operation === 'open' && folder.openFiles > 2 ? fail('EMFILE', call) : call.proceed()
  })
  const requests: [string, () => Promise<Answer>][] = [
    ['a new session', () => server.visitor().post('/begin')],
    ['growth', () => visitors[0]!.post('/fill?size=5000')],
    ['a read', () => elsewhere.at(visitors[0]!.port).get('/peek')],
    ['a visit', () => elsewhere.at(visitors[0]!.port).get('/visit')]
  ]
  for (const [name, request] of requests) {
    for (const visitor of visitors) await visitor.get('/visit')
    t.equal((await request()).status, 200, name)
  }
})

t.test('without fs-ext, opening the store says what to do', async (t) => {
  const compiled = join(base, 'compiled')
  compileTo(compiled)
  const script = join(base, 'open.mjs')
  writeFileSync(script, `
    import { FileStore } from './compiled/lib/stores/file/index.js'
    await new FileStore({ directory: './never' }).open({ now: Date.now, maxRecordSize: 1000, log: console })
  `)
  const { status, stderr } = spawnSync(process.execPath, ['--import', join(import.meta.dirname, 'fixtures/without-fs-ext.mjs'), script], {
    cwd: base, env: { PATH: process.env.PATH }, encoding: 'utf8'
  })
  t.equal(status, 1)
  t.match(stderr, /FST_SESSION_FLOCK_UNAVAILABLE/)
  t.match(stderr, /npm install fs-ext/)
  t.throws(() => statSync(join(base, 'never')), { code: 'ENOENT' }, 'and nothing was made')
})
