// The compat plugin under plugins that use a session.
import fastifyCookie from '@fastify/cookie'
import csrf from '@fastify/csrf-protection'
import flash from '@fastify/flash'
import { Authenticator, Strategy } from '@fastify/passport'
import Fastify from 'fastify'
import { test } from 'tap'
import compat from '../lib/compat/index.js'
import { plain } from './helpers/compat-server.js'

test('compat: plugins that use a session', async (t) => {
  t.test('@fastify/flash and @fastify/csrf-protection work', async (t) => {
    const app = Fastify()
    await app.register(fastifyCookie)
    await app.register(compat, plain)
    await app.register(flash)
    await app.register(csrf, { sessionPlugin: '@fastify/session' })
    app.get('/token', async (request, reply) => {
      (request as any).flash('info', 'hello')
      return { token: (reply as any).generateCsrf() }
    })
    app.post('/', { onRequest: (app as any).csrfProtection }, async (_request, reply) => (reply as any).flash('info'))
    t.teardown(() => app.close())
    const first = await app.inject('/token')
    const cookies = { sessionId: first.cookies[0]!.value }
    const refused = await app.inject({ method: 'POST', url: '/', cookies })
    t.equal(refused.statusCode, 403)
    const accepted = await app.inject({ method: 'POST', url: '/', cookies, headers: { 'csrf-token': first.json().token } })
    t.same(accepted.json(), ['hello'])
  })

  t.test('@fastify/passport logs in under a new id, and out', async (t) => {
    const passport = new Authenticator()
    passport.use('test', new class extends Strategy {
      override authenticate (): void { this.success({ name: 'Ada' }) }
    }('test'))
    passport.registerUserSerializer(async (user: any) => user.name)
    passport.registerUserDeserializer(async (name: string) => ({ name }))
    const app = Fastify()
    await app.register(fastifyCookie)
    await app.register(compat, plain)
    await app.register(passport.initialize())
    await app.register(passport.secureSession())
    app.get('/', async (request) => ({ user: (request as any).user ?? null }))
    app.post('/login', { preValidation: passport.authenticate('test', { authInfo: false }) }, async (request) => ({ user: request.user }))
    app.post('/logout', async (request) => { await (request as any).logout(); return {} })
    t.teardown(() => app.close())
    const before = await app.inject('/')
    const cookies: Record<string, string> = { sessionId: before.cookies[0]!.value }
    const login = await app.inject({ method: 'POST', url: '/login', cookies })
    t.same(login.json(), { user: { name: 'Ada' } })
    t.same((await app.inject({ url: '/', cookies })).json(), { user: null }, 'the old id is dead')
    cookies.sessionId = login.cookies[0]!.value
    t.same((await app.inject({ url: '/', cookies })).json(), { user: { name: 'Ada' } })
    await app.inject({ method: 'POST', url: '/logout', cookies })
    t.same((await app.inject({ url: '/', cookies })).json(), { user: null })
  })
})
