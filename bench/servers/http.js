import { setImmediate as hop } from 'node:timers/promises'
import Fastify from 'fastify'
import { answer } from '../lib/answer.js'
import { contestants } from './contestants.js'
import { networkContestants } from './network-contestants.js'

async function start ({ contestant, directory, port }) {
  const app = Fastify()
  const { read, write } = contestant in contestants
    ? await contestants[contestant](app, directory)
    : await networkContestants[contestant](app, port)

  app.get('/count', async (request, reply) => {
    const n = read(request) + 1
    write(request, reply, n)
    return { n }
  })

  // the same with a turn of the event loop between reading and writing
  app.get('/hop', async (request, reply) => {
    const n = read(request) + 1
    await hop()
    write(request, reply, n)
    return { n }
  })

  await app.listen({ port: 0, host: '127.0.0.1' })
  return app.server.address().port
}

function cpu () {
  const { user, system } = process.cpuUsage()
  return user + system
}

answer({ start, cpu })
