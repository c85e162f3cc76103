// What handlers do in the fuzz: each one writes to its session and then ends its request in its own way.
import type { FastifyReply, FastifyRequest, RouteShorthandOptions } from 'fastify'
import { Readable } from 'node:stream'
import type { Oracle } from './fuzz-oracle.js'

export interface Play {
  readonly oracle: Oracle
  /** The session that the request is for. */
  readonly name: string
  readonly kind: string
  /** A short pause of random length. */
  rest (): Promise<void>
}

export interface Behaviour {
  name: string
  /** How often, compared to the others. Default 10. */
  weight?: number
  route?: RouteShorthandOptions
  /** Uses nothing but get, set and locked of an implicit session. */
  plain?: boolean
  /** HTTP/1.1 only, and why. */
  notOnHttp2?: string
  /** Waits for the client to go, so that one must. */
  leaves?: boolean
  handler (request: FastifyRequest, reply: FastifyReply, play: Play): unknown
}

const explicit = { config: { session: { locking: 'explicit' as const } } }

export const behaviours: Behaviour[] = [
  // ---- answers ----
  { name: 'returns', plain: true, async handler (request, _reply, play) { await play.rest(); const n = keep(request, play); await play.rest(); return { n } } },
  { name: 'returns at once', plain: true, handler: (request, _reply, play) => ({ n: keep(request, play) }) },
  { name: 'sends', plain: true, handler (request, reply, play) { reply.send({ n: keep(request, play) }) } },
  { name: 'sends from a callback', plain: true, handler (request, reply, play) { play.rest().then(() => reply.send({ n: keep(request, play) })).catch(error => reply.send(error)) } },
  { name: 'sends without return', plain: true, async handler (request, reply, play) { reply.send({ n: keep(request, play) }); await play.rest() } },
  { name: 'writes after sending', async handler (request, reply, play) { reply.send({ n: keep(request, play) }); await play.rest(); keep(request, play) } },
  { name: 'returns nothing', plain: true, async handler (request, _reply, play) { await play.rest(); keep(request, play); await play.rest() } },
  { name: 'redirects', plain: true, async handler (request, reply, play) { keep(request, play); await play.rest(); return reply.redirect('/there') } },
  { name: 'sends twice', plain: true, handler (request, reply, play) { keep(request, play); reply.send('a'); reply.send('b') } },
  { name: 'sends and throws', notOnHttp2: 'Fastify destroys the half-sent reply, and Node 20 then may write it for ever (nodejs/node#52952)', plain: true, async handler (request, reply, play) { write(request, play, 'either'); reply.send('a'); throw new Error('on purpose') } },
  { name: 'early hints and a trailer', async handler (request, reply, play) { reply.writeEarlyHints({ link: '</a.css>; rel=preload' }); reply.trailer('x-sum', async () => 'abc'); await play.rest(); return { n: keep(request, play) } } },

  // ---- fails ----
  { name: 'throws', plain: true, async handler (request, _reply, play) { drop(request, play); await play.rest(); throw new Error('on purpose') } },
  { name: 'throws a 4xx', plain: true, async handler (request, _reply, play) { keep(request, play); await play.rest(); throw Object.assign(new Error('on purpose'), { statusCode: 409 }) } },
  { name: 'answers 404', handler (request, reply, play) { keep(request, play); reply.callNotFound() } },
  { name: 'is not serializable', async handler (request, _reply, play) { drop(request, play); request.session.set('big', 1n); await play.rest(); return 'x' } },
  { name: 'an earlier onSend hook fails', notOnHttp2: 'only "close" ends it, and Node 20 loses some of these', async handler (request, _reply, play) { write(request, play, 'either'); await play.rest(); return failing(request, 'earlier') } },
  { name: 'a later onSend hook fails', async handler (request, _reply, play) { keep(request, play); await play.rest(); return failing(request, 'later') } },
  { name: 'takes too long', route: { handlerTimeout: 12 }, async handler (request, _reply, play) { write(request, play, 'either'); await play.rest(); await play.rest(); await play.rest(); return 'x' } },

  // ---- streams ----
  { name: 'a stream', plain: true, async handler (request, _reply, play) { keep(request, play); await play.rest(); return slowStream(5) } },
  { name: 'a stream that breaks at once', plain: true, async handler (request, _reply, play) { keep(request, play); return slowStream(0, true) } },
  { name: 'a stream that breaks midway', plain: true, async handler (request, _reply, play) { keep(request, play); return slowStream(2, true) } },
  { name: 'a web stream', plain: true, async handler (request, _reply, play) { keep(request, play); return Readable.toWeb(slowStream(3)) } },
  { name: 'a fetch Response', async handler (request, _reply, play) { return new Response(`${keep(request, play)}`, { headers: { 'set-cookie': 'other=1' } }) } },

  // ---- past Fastify ----
  { name: 'hijacks', async handler (request, reply, play) { await play.rest(); keep(request, play); reply.hijack(); await play.rest(); reply.raw.end('x') } },
  { name: 'hijacks, writes in a section', async handler (request, reply, play) { keep(request, play); reply.hijack(); await section(request, play); reply.raw.end('x') } },
  { name: 'hijacks, writes in vain', async handler (request, reply, play) { keep(request, play); reply.hijack(); reply.raw.end('x'); await play.rest(); keep(request, play) } },
  { name: 'hijacks, never ends', weight: 4, leaves: true, handler (request, reply, play) { keep(request, play); reply.hijack(); reply.raw.write('x') } },
  { name: 'ends the raw reply', async handler (request, reply, play) { keep(request, play); await play.rest(); reply.raw.end('x') } },
  { name: 'ends the raw reply at once', handler (request, reply, play) { keep(request, play); reply.raw.end('x') } },
  { name: 'never answers', weight: 1, leaves: true, route: { config: { session: { maxHold: 50 } } }, handler (request, _reply, play) { write(request, play, 'either'); play.oracle.leave(play.name, request) } },

  // ---- locks of its own ----
  { name: 'a section', route: explicit, async handler (request, _reply, play) { await play.rest(); return { n: await section(request, play) } } },
  { name: 'a section, implicit', async handler (request, _reply, play) { keep(request, play); return { n: await section(request, play) } } },
  { name: 'a section in a section', route: explicit, handler: (request, _reply, play) => request.withSessionLock(() => section(request, play)).then(n => ({ n })) },
  { name: 'two sections', route: explicit, handler: (request, _reply, play) => Promise.all([section(request, play), section(request, play)]).then(() => 'x') },
  { name: 'a section that fails', route: explicit, async handler (request, _reply, play) { await request.withSessionLock(async () => { drop(request, play); await play.rest(); throw new Error('on purpose') }).catch(() => {}); return 'x' } },
  { name: 'a section that fails, implicit', async handler (request, _reply, play) { keep(request, play); await request.withSessionLock(async () => { drop(request, play); await play.rest(); throw new Error('on purpose') }).catch(() => {}); return 'x' } },
  { name: 'a section nobody waits for', route: explicit, async handler (request, _reply, play) { section(request, play).catch(() => {}); return 'x' } },
  { name: 'a section nobody waits for, implicit', async handler (request, _reply, play) { section(request, play).catch(() => {}); return 'x' } },
  { name: 'redirects in a section', route: explicit, handler: (request, reply, play) => request.withSessionLock(async () => { keep(request, play); await play.rest(); return reply.redirect('/there') }) },
  { name: 'takes the lock', route: explicit, async handler (request, _reply, play) { await request.session.acquireLock(); const n = keep(request, play); await play.rest(); return { n } } },
  { name: 'takes the lock, throws', route: explicit, async handler (request, _reply, play) { await request.session.acquireLock(); drop(request, play); await play.rest(); throw new Error('on purpose') } },
  { name: 'takes the lock, too slowly', route: { ...explicit, handlerTimeout: 8 }, async handler (request, _reply, play) { await play.rest(); await request.session.acquireLock(); write(request, play, 'either'); await play.rest(); return 'x' } },
  { name: 'gives the lock back', async handler (request, _reply, play) { if (keep(request, play) === null) return 'x'; await request.session.releaseLock(); await play.rest(); return { n: await section(request, play) } } },
  { name: 'commits', async handler (request, _reply, play) { const n = keep(request, play); await request.session.commit(); await play.rest(); return { n } } },
  { name: 'saves, then throws', async handler (request, _reply, play) { keep(request, play); await request.session.save(); await play.rest(); throw new Error('on purpose') } },
  { name: 'saves without waiting', async handler (request, _reply, play) { keep(request, play); request.session.save().catch(() => {}); return { n: keep(request, play) } } },
  { name: 'regenerates', weight: 4, async handler (request, _reply, play) { const token = play.oracle.write(play.name, play.kind, request, 'dropped'); const answer = await regenerate(request, play); if (token !== null) token.fate = 'kept'; return answer } },
  { name: 'regenerates, explicit', weight: 4, route: explicit, async handler (request, _reply, play) { await section(request, play); return await regenerate(request, play) } },
  { name: 'reads', route: explicit, handler: (request, _reply, play) => ({ n: play.oracle.read(play.name, request) }) },
  { name: 'reads only', route: { config: { session: { locking: 'readonly' } } }, handler: (request, _reply, play) => ({ n: play.oracle.read(play.name, request) }) }
]

function write (request: FastifyRequest, { oracle, name, kind }: Play, fate: 'kept' | 'dropped' | 'either'): number | null {
  const token = oracle.write(name, kind, request, fate)
  return token === null ? null : request.session.get('n')
}

function keep (request: FastifyRequest, play: Play): number | null {
  return write(request, play, 'kept')
}

function drop (request: FastifyRequest, play: Play): void {
  write(request, play, 'dropped')
}

/** A locked section. Its token is kept once the section has resolved. */
async function section (request: FastifyRequest, play: Play): Promise<number | null> {
  let token
  const n = await request.withSessionLock(async (session) => {
    await play.rest()
    token = play.oracle.write(play.name, play.kind, request, 'either')
    return session.get('n') ?? null
  })
  if (token !== undefined && token !== null) (token as { fate: string }).fate = 'kept'
  return token === null ? null : n
}

/** From now on the session has another cookie, which the client may never see. */
async function regenerate (request: FastifyRequest, play: Play): Promise<{ n: number | null }> {
  const isOurs = request.session.get('owner') === play.name
  await play.rest()
  await request.session.regenerate(true)
  if (isOurs && request.session.id !== null) play.oracle.moved(play.name, `sessionId=${request.session.id}`)
  return { n: isOurs ? request.session.get('n') : null }
}

/** Marks the request for the hooks of fuzz-app. */
function failing (request: FastifyRequest, where: string): string {
  request.headers['x-fail'] = where
  return 'x'
}

function slowStream (chunks: number, breaks = false): Readable {
  let sent = 0
  return new Readable({
    read () {
      setTimeout(() => {
        if (sent++ < chunks) this.push('x'.repeat(20))
        else if (breaks) this.destroy(new Error('This stream breaks on purpose'))
        else this.push(null)
      }, 2)
    }
  })
}
