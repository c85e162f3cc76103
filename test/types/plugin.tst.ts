// The types as an application sees them that has not described its data.
import Fastify, { type FastifyContextConfig, type FastifyInstance, type FastifyRequest } from 'fastify'
import sessionPlugin, {
  type CookieSigner, type Lease, LockTimeoutError, LockQueueFullError, type LockHolder, MemoryStore, NotSerializableError, sessionPlugin as named,
  type Session, type SessionManager, type SessionPluginOptions, type SessionRouteOptions, type SessionRecord, type Store, type StoreScope, type Ticket
} from 'fastify-locked-session'
import { FileStore, type FileStoreOptions } from 'fastify-locked-session/file'
import { describe, expect, test } from 'tstyche'

declare const app: FastifyInstance
declare const request: FastifyRequest
const { session } = request

describe('the plugin', () => {
  test('is the default export and a named one', () => {
    expect(sessionPlugin).type.toBe<typeof named>()
  })

  test('can be registered with and without options', () => {
    expect(app.register).type.toBeCallableWith(sessionPlugin)
    expect(app.register).type.toBeCallableWith(sessionPlugin, {})
    expect(app.register).type.toBeCallableWith(sessionPlugin, { store: new FileStore({ directory: 'sessions' }), locking: 'explicit' as const })
    expect(app.register).type.not.toBeCallableWith(sessionPlugin, { locking: 'sometimes' })
    expect(app.register).type.not.toBeCallableWith(sessionPlugin, { ttl: 1 })
  })

  test('can be registered on every kind of Fastify instance', () => {
    expect(Fastify({ http2: true }).register).type.toBeCallableWith(sessionPlugin)
    expect(Fastify({ logger: true }).register).type.toBeCallableWith(sessionPlugin, { rolling: false })
  })
})

describe('options', () => {
  test('all of them are optional', () => {
    expect<{}>().type.toBeAssignableTo<SessionPluginOptions>()
  })

  test('take what is documented', () => {
    expect<'implicit' | 'explicit' | 'readonly' | undefined>().type.toBe<SessionPluginOptions['locking']>()
    expect<{ secret: string }>().type.toBeAssignableTo<SessionPluginOptions>()
    expect<{ secret: string[] }>().type.toBeAssignableTo<SessionPluginOptions>()
    expect<{ secret: CookieSigner }>().type.toBeAssignableTo<SessionPluginOptions>()
    expect<{ secret: Buffer }>().type.not.toBeAssignableTo<SessionPluginOptions>()
    expect<{ cookie: { secure: 'auto', sameSite: 'strict', persistent: false, partitioned: true, priority: 'high' } }>().type.toBeAssignableTo<SessionPluginOptions>()
    expect<{ cookie: { maxAge: number } }>().type.not.toBeAssignableFrom<SessionPluginOptions>()
    expect<{ saveOnError: (error: unknown, statusCode: number) => boolean }>().type.toBeAssignableTo<SessionPluginOptions>()
    expect<{ generateId: () => number }>().type.not.toBeAssignableTo<SessionPluginOptions>()
    expect<{ serializer: { encode: (data: Record<string, unknown>) => Buffer, decode: (raw: string | Uint8Array) => Record<string, unknown> } }>()
      .type.toBeAssignableTo<SessionPluginOptions>()
    expect<{ lockTimeout: string }>().type.not.toBeAssignableTo<SessionPluginOptions>()
    expect<{ store: MemoryStore }>().type.toBeAssignableTo<SessionPluginOptions>()
    expect<{ store: Map<string, string> }>().type.not.toBeAssignableTo<SessionPluginOptions>()
  })

  test('of the stores', () => {
    expect(MemoryStore).type.toBeConstructableWith()
    expect(MemoryStore).type.toBeConstructableWith({ max: 10 })
    expect(FileStore).type.not.toBeConstructableWith()
    expect(FileStore).type.toBeConstructableWith({ directory: 'sessions', durable: true, io: 'async' })
    expect(FileStore).type.not.toBeConstructableWith({ directory: 'sessions', io: 'fast' })
    expect<FileStoreOptions['directory']>().type.toBe<string>()
  })
})

describe('the configuration of a route', () => {
  const handler = async () => 'done'

  test('takes locking, lockTimeout and maxHold', () => {
    expect(app.get).type.toBeCallableWith('/', { config: { session: { locking: 'readonly' } } }, handler)
    expect(app.get).type.toBeCallableWith('/', { config: { session: { lockTimeout: Infinity, maxHold: 1000 } } }, handler)
    expect(app.get).type.toBeCallableWith('/', { config: { session: {} } }, handler)
    expect(app.get).type.toBeCallableWith('/', { config: {} }, handler)
  })

  test('takes false, and not true', () => {
    expect(app.get).type.toBeCallableWith('/', { config: { session: false } }, handler)
    expect<FastifyContextConfig>().type.not.toBeAssignableFrom<{ session: true }>()
  })

  test('takes nothing else', () => {
    expect(app.get).type.not.toBeCallableWith('/', { config: { session: { locking: 'none' } } }, handler)
    expect(app.get).type.not.toBeCallableWith('/', { config: { session: { lockTimeout: '1' } } }, handler)
    expect<keyof SessionRouteOptions>().type.toBe<'locking' | 'lockTimeout' | 'maxHold'>()
  })

  test('can be read where the route runs', () => {
    expect(request.routeOptions.config.session).type.toBe<false | SessionRouteOptions | undefined>()
  })
})

describe('request.session', () => {
  test('allows every key while the data are not described', () => {
    expect(session.get('anything')).type.toBe<any>()
    expect(session.set).type.toBeCallableWith('anything', { at: 'all' })
    expect(session.has('anything')).type.toBe<boolean>()
    expect(session.update).type.toBeCallableWith({ any: 'thing' })
    expect(session.data()).type.toBe<Record<string, any>>()
    expect(session.get).type.not.toBeCallableWith(1)
  })

  test('shows what it is', () => {
    expect(session).type.toBe<Session>()
    expect(session.id).type.toBe<string | null>()
    expect(session.isNew).type.toBe<boolean>()
    expect(session.locked).type.toBe<boolean>()
    expect(session.createdAt).type.toBe<number>()
    expect(session.lastAccessedAt).type.toBe<number>()
    expect(session.expiresAt).type.toBe<number>()
    expect(session.user).type.toBe<string | null>()
    expect(session.size).type.toBe<number>()
    expect(session.keys()).type.toBe<IterableIterator<string>>()
    expect([...session]).type.toBe<[string, any][]>()
  })

  test('cannot be assigned to', () => {
    // @ts-expect-error Cannot assign to 'id' because it is a read-only property.
    session.id = 'x'
    // @ts-expect-error Cannot assign to 'user' because it is a read-only property.
    session.user = 'ada'
  })

  test('has a lifecycle of promises', () => {
    expect(session.save()).type.toBe<Promise<void>>()
    expect(session.commit()).type.toBe<Promise<void>>()
    expect(session.reload()).type.toBe<Promise<void>>()
    expect(session.destroy()).type.toBe<Promise<void>>()
    expect(session.acquireLock()).type.toBe<Promise<void>>()
    expect(session.releaseLock()).type.toBe<Promise<void>>()
    expect(session.regenerate()).type.toBe<Promise<void>>()
    expect(session.revert()).type.toBe<void>()
    expect(session.touch()).type.toBe<void>()
    expect(session.expire()).type.toBe<void>()
  })

  test('regenerate() keeps nothing, some keys, or everything', () => {
    expect(session.regenerate).type.toBeCallableWith()
    expect(session.regenerate).type.toBeCallableWith(true)
    expect(session.regenerate).type.toBeCallableWith(['cart'] as const)
    expect(session.regenerate).type.not.toBeCallableWith(false)
    expect(session.regenerate).type.not.toBeCallableWith('cart')
  })

  test('setUser() takes a string or null', () => {
    expect(session.setUser).type.toBeCallableWith('ada')
    expect(session.setUser).type.toBeCallableWith(null)
    expect(session.setUser).type.not.toBeCallableWith(17)
    expect(session.setUser).type.not.toBeCallableWith()
  })
})

describe('request.withSessionLock', () => {
  test('resolves to what its function returns or resolves to', () => {
    expect(request.withSessionLock(() => 1)).type.toBe<Promise<number>>()
    expect(request.withSessionLock(async () => 'text')).type.toBe<Promise<string>>()
    expect(request.withSessionLock(() => {})).type.toBe<Promise<void>>()
    expect(request.withSessionLock(session => session)).type.toBe<Promise<Session>>()
  })

  test('needs a function', () => {
    expect(request.withSessionLock).type.not.toBeCallableWith()
    expect(request.withSessionLock).type.not.toBeCallableWith(1)
    expect(request.withSessionLock).type.not.toBeCallableWith((session: string) => session)
  })
})

describe('fastify.sessions', () => {
  const { sessions } = app

  test('is the manager', () => {
    expect(sessions).type.toBe<SessionManager>()
    expect(sessions.scope).type.toBe<StoreScope>()
    expect(sessions.store).type.toBe<Store>()
  })

  test('looks at sessions', async () => {
    expect(sessions.get('id')).type.toBe<Promise<Session | null>>()
    expect(sessions.count()).type.toBe<Promise<number>>()
    for await (const [key, session] of sessions.entries()) {
      expect(key).type.toBe<string>()
      expect(session).type.toBe<Session>()
    }
    expect<Session['user']>().type.toBe<string | null>()
    expect(sessions.stats().locks.waiting).type.toBe<number>()
    expect(sessions.stats().saves).type.toBe<number>()
  })

  test('deletes sessions', () => {
    expect(sessions.destroy('id')).type.toBe<Promise<boolean>>()
    expect(sessions.destroyByUser('ada', { except: session.id })).type.toBe<Promise<number>>()
    expect(sessions.destroyByUser).type.toBeCallableWith('ada')
    expect(sessions.prune()).type.toBe<Promise<{ deleted: number, remaining: number }>>()
    expect(sessions.deleteOlderThan(60)).type.toBe<Promise<{ deleted: number, remaining: number }>>()
    expect(sessions.deleteOlderThan).type.not.toBeCallableWith('60')
  })

  test('with() resolves to what its function returns', () => {
    expect(sessions.with('id', session => session.size)).type.toBe<Promise<number>>()
    expect(sessions.with('id', async session => await session.save())).type.toBe<Promise<void>>()
    expect(sessions.with).type.not.toBeCallableWith(undefined, () => {})
    expect(sessions.with).type.not.toBeCallableWith('id')
  })
})

describe('errors', () => {
  test('say what they know', () => {
    const timeout = new LockTimeoutError({ waited: 1, place: 1, holder: null })
    expect(timeout).type.toBeAssignableTo<Error>()
    expect(timeout.code).type.toBe<string>()
    expect(timeout.waited).type.toBe<number>()
    expect(timeout.holder).type.toBe<LockHolder | null>()
    expect(LockQueueFullError).type.toBeConstructableWith({ place: 51, holder: null })
    expect(new NotSerializableError('cart', 'why').key).type.toBe<string>()
  })
})

describe('a store of somebody else', () => {
  test('is any object of the right shape', () => {
    const store = {
      scope: 'process' as const,
      acquire: (ticket: Ticket): Lease | null => ticket.key === '' ? null : { outcome: 'granted', record: {} as SessionRecord, save () {}, touch () {}, destroy () {}, release () {}, lapse () {} },
      read: async (key: string): Promise<SessionRecord | null> => key === '' ? null : {} as SessionRecord,
      create: async () => {},
      async * entries (): AsyncGenerator<[string, SessionRecord]> {},
      count: () => 0,
      prune: async () => ({ deleted: 0, remaining: 0 })
    }
    expect(store).type.toBeAssignableTo<Store>()
    expect<SessionPluginOptions>().type.toBeAssignableFrom<{ store: typeof store }>()
  })

  test('answers at once or with a promise', () => {
    expect<Store['read']>().type.toBeAssignableFrom<(key: string) => null>()
    expect<Store['read']>().type.toBeAssignableFrom<(key: string) => Promise<null>>()
    expect<Store['read']>().type.not.toBeAssignableFrom<(key: string) => undefined>()
  })

  test('must say whom its lock keeps out, and must be able to lock', () => {
    expect<Omit<MemoryStore, 'scope'>>().type.not.toBeAssignableTo<Store>()
    expect<Omit<MemoryStore, 'acquire'>>().type.not.toBeAssignableTo<Store>()
    expect<StoreScope>().type.toBe<'none' | 'process' | 'host' | 'network'>()
  })
})
