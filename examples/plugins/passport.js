// @fastify/passport with passport-local: log in with a name and a password.
import { Authenticator } from '@fastify/passport'
import Fastify from 'fastify'
import sessionPlugin from 'fastify-locked-session'
import { Strategy } from 'passport-local'

const users = new Map([['ada', { name: 'ada', password: 'lovelace' }]])

export async function build () {
  const app = Fastify()
  const passport = new Authenticator({
    // Passport gives the session a new id at each login. These keys come along, the others do not.
    clearSessionIgnoreFields: ['cart']
  })
  // A real application compares a hash of the password.
  passport.use(new Strategy({ usernameField: 'name' }, (name, password, done) => {
    const user = users.get(name)
    done(null, user?.password === password ? user : false)
  }))
  passport.registerUserSerializer(async (user) => user.name)
  passport.registerUserDeserializer(async (name) => users.get(name) ?? false)

  await app.register(sessionPlugin)
  await app.register(passport.initialize())

  app.register(async (account) => {
    // Passport writes to the session, so the routes in this scope are implicit, the default.
    await account.register(passport.secureSession())

    account.post('/cart', async (request) => {
      const cart = request.session.get('cart', [])
      cart.push(request.body.article)
      request.session.set('cart', cart)
      return { cart }
    })

    account.post('/login', { preValidation: passport.authenticate('local', { authInfo: false }) }, async (request) => {
      request.session.setUser(request.user.name) // For app.sessions.destroyByUser() and request.session.user.
      return { user: request.user.name }
    })

    account.post('/logout', async (request) => {
      await request.logOut()
      return { user: null }
    })

    account.get('/account', async (request, reply) => {
      if (!request.isAuthenticated()) return reply.code(401).send({ error: 'Log in first' })
      return { user: request.user.name }
    })
  })

  // Outside of the scope: no user is loaded, nothing is written, and the name is there all the same.
  app.get('/name', { config: { session: { locking: 'readonly' } } }, async (request) => {
    return { user: request.session.user, cart: request.session.get('cart', []) }
  })

  return app
}

if (process.argv[1] === import.meta.filename) {
  const app = await build()
  console.log(await app.listen({ port: 3000 }))
}
