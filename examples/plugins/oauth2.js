// @fastify/oauth2: log in at a provider. The state is kept in the session, so only who began can finish.
import oauth2 from '@fastify/oauth2'
import Fastify from 'fastify'
import { randomBytes } from 'node:crypto'
import sessionPlugin from 'fastify-locked-session'

/** So many logins may be under way at once, one for each tab. */
const MOST_STATES = 5

/** `origin`: where browsers find this application. `provider`: where they find the provider. */
export async function build ({ origin = 'http://127.0.0.1:3000', provider = 'http://127.0.0.1:4000' } = {}) {
  const app = Fastify()
  // Not sameSite 'strict': the browser comes back from another site, and must bring the cookie.
  await app.register(sessionPlugin)
  await app.register(oauth2, {
    name: 'provider',
    credentials: {
      client: { id: 'the-shop', secret: 'a secret that the provider knows' },
      auth: { tokenHost: provider, tokenPath: '/token', authorizePath: '/authorize' }
    },
    scope: ['name'],
    pkce: 'S256',
    startRedirectPath: '/login',
    callbackUri: `${origin}/login/callback`,
    generateStateFunction,
    checkStateFunction
  })

  // Explicit: the provider may be slow, and the other tabs need not wait for it.
  app.get('/login/callback', { config: { session: { locking: 'explicit' } } }, async (request, reply) => {
    const { token } = await app.provider.getAccessTokenFromAuthorizationCodeFlow(request, reply)
    const answer = await fetch(`${provider}/me`, { headers: { authorization: `Bearer ${token.access_token}` } })
    const { name } = await answer.json()
    await request.withSessionLock(async (session) => {
      await session.regenerate(['cart'])
      session.setUser(name)
    })
    return reply.redirect('/', 303)
  })

  app.post('/cart', async (request) => {
    const cart = request.session.get('cart', []).concat(request.body.article)
    request.session.set('cart', cart)
    return { cart }
  })

  app.get('/', { config: { session: { locking: 'readonly' } } }, async (request) => {
    return { user: request.session.user, cart: request.session.get('cart', []) }
  })

  return app
}

async function generateStateFunction (request) {
  const state = randomBytes(16).toString('base64url')
  const states = [...request.session.get('loginStates', []), state]
  request.session.set('loginStates', states.slice(-MOST_STATES))
  return state
}

/** Each state is good for one login. */
async function checkStateFunction (request) {
  return request.withSessionLock((session) => {
    const states = session.get('loginStates', [])
    const rest = states.filter(state => state !== request.query.state)
    session.set('loginStates', rest)
    return rest.length < states.length
  })
}

if (process.argv[1] === import.meta.filename) {
  const app = await build()
  console.log(await app.listen({ port: 3000 }))
}
