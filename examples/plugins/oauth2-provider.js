// A pretended OAuth 2 provider, to try oauth2.js: everybody who comes is Ada. It checks what a real one checks.
import Fastify from 'fastify'
import { createHash, randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'

/** `delay`: how long it takes to give a token, in ms. */
export async function build ({ delay = 0 } = {}) {
  const app = Fastify()
  /** What was asked for, by code. Each code is good for one token. */
  const asked = new Map()
  const tokens = new Set()

  app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, (request, body, done) => {
    done(null, Object.fromEntries(new URLSearchParams(body)))
  })

  app.get('/authorize', async (request, reply) => {
    const code = randomBytes(16).toString('base64url')
    asked.set(code, request.query)
    return reply.redirect(`${request.query.redirect_uri}?${new URLSearchParams({ code, state: request.query.state })}`)
  })

  app.post('/token', async (request, reply) => {
    const { code, code_verifier: verifier, redirect_uri: redirectUri } = request.body
    const question = asked.get(code)
    asked.delete(code)
    const challenge = createHash('sha256').update(verifier ?? '').digest('base64url')
    if (question?.code_challenge !== challenge || question.redirect_uri !== redirectUri) {
      return reply.code(400).send({ error: 'invalid_grant' })
    }
    await sleep(delay)
    const token = randomBytes(16).toString('base64url')
    tokens.add(token)
    return { access_token: token, token_type: 'Bearer', expires_in: 3600 }
  })

  app.get('/me', async (request, reply) => {
    const token = request.headers.authorization?.slice('Bearer '.length)
    return tokens.has(token) ? { name: 'ada' } : reply.code(401).send({ error: 'invalid_token' })
  })

  return app
}

if (process.argv[1] === import.meta.filename) {
  const app = await build()
  console.log(await app.listen({ port: 4000 }))
}
