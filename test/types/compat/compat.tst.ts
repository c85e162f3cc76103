// An application of @fastify/session that has changed its import. In a folder of its own, because here
// `request.session` is another one.
import { type FastifyInstance, type FastifyRequest, type Session } from 'fastify'
import plugin, { type CookieOptions, type FastifySessionObject, MemoryStore, type SessionStore, Store } from 'fastify-locked-session/compat'
import { describe, expect, test } from 'tstyche'

declare module 'fastify' {
  interface Session {
    user?: { id: number }
    foo: string
  }
}

declare const app: FastifyInstance
declare const request: FastifyRequest
declare const emptyStore: SessionStore
const { session } = request
const secret = 'ABCDEFGHIJKLNMOPQRSTUVWXYZ012345'

describe('the plugin', () => {
  test('takes the options of @fastify/session', () => {
    app.register(plugin, { secret })
    app.register(plugin, { secret, rolling: false, cookie: { secure: false } })
    app.register(plugin, { secret: [secret], cookie: { maxAge: 1000, secure: 'auto' } })
    app.register(plugin, { secret, store: emptyStore })
    app.register(plugin, { secret, store: new MemoryStore(new Map<string, Session>()) })
    app.register(plugin, { secret, idGenerator: () => `${Date.now()}` })
    app.register(plugin, { secret, idGenerator: (request) => `${request === undefined ? 'null' : request.ip}` })
    app.register(plugin, { secret: { sign: (value: string) => value, unsign: (_input: string) => ({ valid: true, renew: false, value: null }) } })
    app.register(plugin, { secret, algorithm: 'sha512', cookieName: 'connect.sid', cookiePrefix: 's:', saveUninitialized: false })
    expect(app.register).type.not.toBeCallableWith(plugin, {})
  })

  test('takes the options of the lock', () => {
    app.register(plugin, { secret, locking: 'explicit', lockTimeout: 1000 })
    expect(app.register).type.not.toBeCallableWith(plugin, { secret, locking: 'maybe' })
  })

  test('has its stores with it', () => {
    expect(new plugin.MemoryStore()).type.toBe<MemoryStore>()
    expect(new plugin.Store()).type.toBe<MemoryStore>()
    expect(new Store()).type.toBe<MemoryStore>()
    expect<CookieOptions['maxAge']>().type.toBe<number | undefined>()
  })

  test('decrypts sessions', () => {
    app.decryptSession<{ hello: 'world' }>('sessionId', { hello: 'world' }, () => ({}))
    app.decryptSession('sessionId', {}, { domain: '/' }, () => ({}))
  })
})

describe('request.session', () => {
  test('is that of @fastify/session', () => {
    expect(session).type.toBe<FastifySessionObject>()
    expect(request.sessionStore).type.toBe<Readonly<SessionStore>>()
    expect(session.user).type.toBe<{ id: number } | undefined>()
    expect(session).type.not.toHaveProperty('doesNotExist')
  })

  test('has typed data', () => {
    expect(session.get('foo')).type.toBe<string | undefined>()
    expect(session.set('foo', 'bar')).type.toBe<void>()
    expect(session.set).type.not.toBeCallableWith('foo', 2)
    expect(session.get).type.not.toBeCallableWith('not exist')
    expect(session.get<any>('not exist')).type.toBe<any>()
  })

  test('takes callbacks or returns promises', () => {
    expect(session.destroy(() => {})).type.toBe<void>()
    expect(session.destroy()).type.toBe<Promise<void>>()
    expect(session.regenerate(['foo'], () => {})).type.toBe<void>()
    expect(session.regenerate(['foo'])).type.toBe<Promise<void>>()
    expect(session.reload()).type.toBe<Promise<void>>()
    expect(session.save(() => {})).type.toBe<void>()
    expect(session.touch()).type.toBe<void>()
    expect(session.isModified()).type.toBe<boolean>()
    expect(session.isSaved()).type.toBe<boolean>()
    expect(session.options({ domain: 'example.com', expires: new Date(), maxAge: 1000, partitioned: true, priority: 'low', secure: 'auto' })).type.toBe<void>()
    expect(session.options).type.not.toBeCallableWith({ signed: true })
  })

  test('can be locked', () => {
    expect(request.withSessionLock((locked) => locked.user)).type.toBe<Promise<{ id: number } | undefined>>()
  })
})
