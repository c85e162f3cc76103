// @fastify/multipart: an upload takes as long as it takes, so its route locks only to note that it is done.
import multipart from '@fastify/multipart'
import Fastify from 'fastify'
import sessionPlugin from 'fastify-locked-session'

export async function build () {
  const app = Fastify()
  await app.register(sessionPlugin)
  await app.register(multipart, { limits: { fileSize: 10 * 1024 * 1024 } })

  app.post('/upload', { config: { session: { locking: 'explicit' } } }, async (request) => {
    const part = await request.file()
    let bytes = 0
    for await (const chunk of part.file) bytes += chunk.length // A real application stores them.
    if (part.file.truncated) throw new app.multipartErrors.RequestFileTooLargeError()
    return request.withSessionLock((session) => {
      const uploads = session.get('uploads', []) // Read inside the lock: others may have finished meanwhile.
      uploads.push({ name: part.filename, bytes })
      session.set('uploads', uploads)
      return { uploads }
    })
  })

  app.post('/count', async (request) => {
    const count = request.session.get('count', 0) + 1
    request.session.set('count', count)
    return { count }
  })

  app.get('/session', { config: { session: { locking: 'readonly' } } }, async (request) => request.session.data())

  return app
}

if (process.argv[1] === import.meta.filename) {
  const app = await build()
  console.log(await app.listen({ port: 3000 }))
}
