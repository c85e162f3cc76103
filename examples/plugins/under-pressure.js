// @fastify/under-pressure: an overloaded server refuses requests before they wait for a lock.
import underPressure from '@fastify/under-pressure'
import Fastify from 'fastify'
import sessionPlugin from 'fastify-locked-session'

export async function build ({ healthCheck = async () => true, healthCheckInterval = 5000 } = {}) {
  const app = Fastify()
  // Registered before the session plugin, so its hook comes first.
  await app.register(underPressure, {
    maxEventLoopDelay: 1000,
    healthCheck,
    healthCheckInterval,
    // Asked every few seconds by a machine: no session is looked up for it.
    exposeStatusRoute: { url: '/status', routeOpts: { config: { session: false } } }
  })
  await app.register(sessionPlugin)

  app.post('/count', async (request) => {
    const count = request.session.get('count', 0) + 1
    await new Promise(resolve => setTimeout(resolve, 50)) // Some work.
    request.session.set('count', count)
    return { count }
  })

  return app
}

if (process.argv[1] === import.meta.filename) {
  const app = await build()
  console.log(await app.listen({ port: 3000 }))
}
