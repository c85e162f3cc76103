// CommonJS under TypeScript 5.6 and 5.7, which know nothing of require() for ES modules: types and values by import().
import Fastify from 'fastify'
import type { SessionPluginOptions } from 'fastify-locked-session' with { 'resolution-mode': 'import' }

// @ts-expect-error a text is no number of milliseconds
export const mistake: SessionPluginOptions = { lockTimeout: '5' }

async function main (): Promise<void> {
  const { sessionPlugin, MemoryStore } = await import('fastify-locked-session')
  const { FileStore } = await import('fastify-locked-session/file')
  const options: SessionPluginOptions = { store: new MemoryStore() }
  const app = Fastify()
  await app.register(sessionPlugin, options)
  app.get('/', async (request) => ({ visits: request.session.set('visits', request.session.get('visits', 0) + 1).get('visits') }))
  const first = await app.inject('/')
  const second = await app.inject({ url: '/', cookies: { sessionId: first.cookies[0]!.value } })
  console.log(second.body, typeof FileStore)
  await app.close()
}

main()
