// An application that describes its data. In a folder of its own, because an augmentation holds for a whole program.
import type { FastifyRequest } from 'fastify'
import type { Session, SessionKey, SessionObject, SessionValue } from 'fastify-locked-session'
import { describe, expect, test } from 'tstyche'

interface Cart {
  articles: string[]
}

declare module 'fastify-locked-session' {
  interface SessionData {
    visits: number
    cart: Cart
    nickname?: string
    coupon: string | null
  }
}

declare const request: FastifyRequest
const { session } = request

describe('with SessionData described', () => {
  test('get() may find nothing', () => {
    expect(session.get('visits')).type.toBe<number | undefined>()
    expect(session.get('cart')).type.toBe<Cart | undefined>()
    expect(session.get('nickname')).type.toBe<string | undefined>()
    expect(session.get('coupon')).type.toBe<string | null | undefined>()
  })

  test('get() with a default always finds something', () => {
    expect(session.get('visits', 0)).type.toBe<number>()
    expect(session.get('cart', { articles: [] })).type.toBe<Cart>()
    expect(session.get).type.not.toBeCallableWith('visits', 'none')
  })

  test('pop() and setDefault() are typed as get() is', () => {
    expect(session.pop('visits')).type.toBe<number | undefined>()
    expect(session.pop('visits', 0)).type.toBe<number>()
    expect(session.setDefault('visits', 0)).type.toBe<number>()
    expect(session.setDefault).type.not.toBeCallableWith('visits', '0')
  })

  test('set() takes the described type and no other, and can be chained', () => {
    expect(session.set('visits', 1)).type.toBe<Session>()
    expect(session.set).type.not.toBeCallableWith('visits', 'one')
    expect(session.set).type.not.toBeCallableWith('visits', null)
    expect(session.set).type.toBeCallableWith('coupon', null)
    expect(session.set).type.not.toBeCallableWith('cart', { articles: [1] })
    expect(session.set).type.not.toBeCallableWith('visits')
  })

  test('unknown keys do not compile', () => {
    expect(session.get).type.not.toBeCallableWith('vists')
    expect(session.set).type.not.toBeCallableWith('vists', 1)
    expect(session.has).type.not.toBeCallableWith('vists')
    expect(session.delete).type.not.toBeCallableWith('vists')
    expect(session.pop).type.not.toBeCallableWith('vists')
    expect(session.regenerate).type.not.toBeCallableWith(['vists'])
    expect(session.regenerate).type.toBeCallableWith(['cart', 'visits'])
  })

  test('update() and data() know all keys and need none', () => {
    expect(session.update).type.toBeCallableWith({ visits: 1 })
    expect(session.update).type.toBeCallableWith({})
    expect(session.update).type.not.toBeCallableWith({ vists: 1 })
    expect(session.update).type.not.toBeCallableWith({ visits: 'one' })
    expect(session.data().visits).type.toBe<number | undefined>()
    expect(session.toJSON()).type.toBe<SessionObject>()
  })

  test('iteration gives the described keys', () => {
    expect(session.keys()).type.toBe<IterableIterator<'visits' | 'cart' | 'nickname' | 'coupon'>>()
    expect([...session][0]![0]).type.toBe<SessionKey>()
  })

  test('the same holds in a locked section, and for what the manager shows', () => {
    expect(request.withSessionLock(session => session.get('visits', 0))).type.toBe<Promise<number>>()
    expect<ReturnType<Session['data']>>().type.toBe<SessionObject>()
    expect<SessionValue<'cart'>>().type.toBe<Cart>()
  })
})
