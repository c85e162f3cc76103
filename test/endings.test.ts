// Every way in which a request can end, one line each. After each: the lock is free, and nothing is lost (rule L6).
import type { FastifyInstance, FastifyReply, FastifyRequest, FastifyServerOptions } from 'fastify'
import { ServerResponse } from 'node:http'
import * as net from 'node:net'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { type Test, test } from 'tap'
import { MemoryStore, type Store } from '../lib/index.js'
import { FileStore } from '../lib/stores/file/index.js'
import { AwaitedStore, smallDelays } from './helpers/awaited-store.js'
import type { Heard } from './helpers/endings-clients.js'
import { count, gone, pause, runWay, type Scene, transportsOf, until, type Way } from './helpers/endings-runner.js'
import { ProcessWatch } from './helpers/process-watch.js'
import { seededRandom } from './helpers/seeded-random.js'

const SOCKETS = { 'HTTP/1.1': 200, 'HTTP/2': 200 }
const GONE = { 'HTTP/1.1': null, 'HTTP/2': null }
const JSON_TYPE = { 'content-type': 'application/json' }
const explicit = { config: { session: { locking: 'explicit' as const } } }

const ways: Way[] = [
  // ---- the handler answers ----
  { name: 'returns a value', status: 200, saved: true },
  { name: 'returns a string', status: 200, saved: true, handler: async (request) => `${count(request)}` },
  { name: 'returns a buffer', status: 200, saved: true, handler: async (request) => Buffer.from(`${count(request)}`) },
  { name: 'returns nothing', status: 200, saved: true, handler: async (request) => { count(request) } },
  { name: 'reply.send() in a callback handler', status: 200, saved: true, handler (request, reply) { reply.send({ n: count(request) }) } },
  { name: 'reply.send() in a callback, later', status: 200, saved: true, handler (request, reply) { setTimeout(() => reply.send({ n: count(request) }), 5) } },
  { name: 'reply.send(), returned', status: 200, saved: true, handler: async (request, reply) => reply.send({ n: count(request) }) },
  { name: 'reply.send(), then return reply', status: 200, saved: true, async handler (request, reply) { reply.send({ n: count(request) }); return reply } },
  { name: 'reply.send() without a return', status: 200, saved: true, async handler (request, reply) { reply.send({ n: count(request) }); await pause(10) } },
  { name: 'HEAD', status: 200, saved: true, client: (scene) => scene.send({ method: 'HEAD' }).heard },
  { name: 'redirect', status: 302, saved: true, handler (request, reply) { count(request); return reply.redirect('/there') } },
  { name: '204', status: 204, saved: true, handler (request, reply) { count(request); return reply.code(204).send() } },
  { name: '304', status: 304, saved: true, handler (request, reply) { count(request); return reply.code(304).send() } },
  { name: 'a trailer', status: 200, saved: true, handler (request, reply) { reply.trailer('x-sum', async () => 'abc'); return { n: count(request) } } },
  { name: 'a trailer that never comes, and the client leaves', status: SOCKETS, missing: 'inject gives the body at its end', saved: true, handler (request, reply) { reply.trailer('x-sum', () => new Promise(() => {})); return { n: count(request) } }, client: leaveInTheBody },
  { name: 'early hints', status: 200, saved: true, handler (request, reply) { reply.writeEarlyHints({ link: '</a.css>; rel=preload' }); return { n: count(request) } } },
  { name: 'send() twice', status: 200, saved: true, handler (request, reply) { count(request); reply.send('a'); reply.send('b') } },
  { name: 'send() and return', status: 200, saved: true, async handler (request, reply) { count(request); reply.send('a'); return 'b' } },
  { name: 'send() and throw', status: 200, orStatus: 500, saved: true, async handler (request, reply) { count(request); reply.send('a'); throw new Error('after the reply') } },

  // ---- the handler fails ----
  { name: 'throws', status: 500, saved: false, handler: failing500 },
  { name: 'throws, async', status: 500, saved: false, handler: async (request) => fails(request) },
  { name: 'throws later', status: 500, saved: false, async handler (request) { await pause(5); fails(request) } },
  { name: 'throws a 4xx', status: 409, saved: true, handler: (request) => fails(request, 409) },
  { name: 'sends an error', status: 500, saved: false, handler (request, reply) { count(request); reply.send(new Error('sent')) } },
  { name: 'sends a 4xx without an error', status: 422, saved: true, handler (request, reply) { reply.code(422).send({ n: count(request) }) } },
  { name: 'sends a 5xx without an error', status: 503, saved: false, handler (request, reply) { reply.code(503).send({ n: count(request) }) } },
  { name: 'a value that cannot be serialized', status: 500, saved: false, handler (request) { count(request); const circle: Record<string, unknown> = {}; circle.circle = circle; return circle } },
  { name: 'a header that cannot be sent', status: { 'HTTP/1.1': 500, inject: 500 }, missing: 'HTTP/2 sends it', saved: true, newcomer: 'unseen', handler (request, reply) { reply.header('x-bad', 'a\nb'); return { n: count(request) } } },
  { name: 'an error handler that throws', status: 500, saved: false, handler: failing500, later: (app) => { app.setErrorHandler(() => { throw new Error('in the error handler') }) } },
  { name: 'an error handler that throws, async', status: 500, saved: false, handler: async (request) => fails(request), later: (app) => { app.setErrorHandler(async () => { await pause(5); throw new Error('in the error handler') }) } },
  { name: 'an error handler that answers 200, async', status: 200, saved: true, handler: async (request) => fails(request), later: (app) => { app.setErrorHandler(async (_error, _request, reply) => { await pause(5); reply.code(200); return 'fine' }) } },
  { name: 'an error handler that leaves 500 to a callback', status: 500, saved: false, handler: failing500, later: (app) => { app.setErrorHandler((_error, _request, reply) => { setTimeout(() => reply.code(500).send('later'), 5) }) } },

  // ---- before and beside the handler ----
  { name: 'a later onRequest hook answers', status: 401, saved: true, handled: 0, later: (app) => { app.addHook('onRequest', async (request, reply) => isOurs(request) ? reply.code(401).send({ n: count(request) }) : undefined) } },
  { name: 'a later onRequest hook throws', status: 500, saved: false, handled: 0, later: (app) => { app.addHook('onRequest', async (request) => { if (isOurs(request)) fails(request) }) } },
  { name: 'a later onRequest hook hijacks', status: 200, saved: true, createsLate: true, handled: 0, later: (app) => { app.addHook('onRequest', (request, reply, done) => { if (!isOurs(request)) return done(); count(request); reply.hijack().raw.end('x') }) } },
  { name: 'an earlier onRequest hook answers', status: 401, saved: false, handled: 0, earlier: (app) => { app.addHook('onRequest', async (request, reply) => isOurs(request) ? reply.code(401).send('no') : undefined) } },
  { name: 'an earlier onRequest hook throws', status: 500, saved: false, handled: 0, earlier: (app) => { app.addHook('onRequest', async (request) => { if (isOurs(request)) throw new Error('early') }) } },
  { name: 'a later preSerialization hook throws', status: 500, saved: false, later: (app) => { app.addHook('preSerialization', async (request) => { if (isOurs(request)) throw new Error('preSerialization') }) } },
  { name: 'an earlier onSend hook throws', status: 500, saved: false, earlier: (app) => { app.addHook('onSend', async (request) => { if (isOurs(request)) throw new Error('onSend') }) } },
  { name: 'an earlier onSend hook throws at a callback handler', status: 500, saved: false, handler (request, reply) { reply.send({ n: count(request) }) }, earlier: (app) => { app.addHook('onSend', (request, _reply, _payload, done) => { if (isOurs(request)) done(new Error('onSend')); else done() }) } },
  { name: 'an earlier onSend hook throws once', status: 500, saved: false, earlier: (app, scene) => { app.addHook('onSend', async (request) => { if (isOurs(request) && scene.refused === null) { scene.refused = 'once'; throw new Error('onSend') } }) } },
  { name: 'a later onSend hook throws', status: 500, saved: true, later: (app) => { app.addHook('onSend', async (request) => { if (isOurs(request)) throw new Error('onSend') }) } },
  { name: 'a later onSend hook throws once', status: 500, saved: true, later: (app, scene) => { app.addHook('onSend', async (request) => { if (isOurs(request) && scene.refused === null) { scene.refused = 'once'; throw new Error('onSend') } }) } },
  { name: 'throws, and a later onSend hook throws, too', status: 500, saved: false, handler: failing500, later: (app) => { app.addHook('onSend', async (request) => { if (isOurs(request)) throw new Error('onSend') }) } },
  { name: 'a later onSend hook makes a payload that cannot be sent', status: 500, saved: true, later: (app) => { app.addHook('onSend', async (request, _reply, payload) => isOurs(request) ? 42 : payload) } },
  { name: 'a later onSend hook sets a header that cannot be sent', status: { 'HTTP/1.1': 500, inject: 500 }, missing: 'HTTP/2 sends it', saved: true, newcomer: 'unseen', later: (app) => { app.addHook('onSend', async (request, reply, payload) => { if (isOurs(request)) reply.header('x-bad', 'a\nb'); return payload }) } },
  { name: 'an onResponse hook throws', status: 200, saved: true, earlier: (app) => { app.addHook('onResponse', async (request) => { if (isOurs(request)) throw new Error('onResponse') }) } },
  { name: 'validation fails', status: 400, saved: true, handled: 0, later: countEarly, route: { schema: { querystring: { type: 'object', required: ['q'], properties: { q: { type: 'string' } } } } } },
  { name: 'a body that is not JSON', status: 400, saved: true, handled: 0, later: countEarly, client: (scene) => scene.send({ method: 'POST', body: '{"a":', headers: JSON_TYPE }).heard },
  { name: 'a body that is too large', status: 413, saved: true, handled: 0, later: countEarly, server: { bodyLimit: 10 }, client: (scene) => scene.send({ method: 'POST', body: JSON.stringify('x'.repeat(100)), headers: JSON_TYPE }).heard },
  { name: 'a body of an unknown type', status: 415, saved: true, handled: 0, later: countEarly, client: (scene) => scene.send({ method: 'POST', body: 'x', headers: { 'content-type': 'strange/thing' } }).heard },
  { name: 'a body', status: 200, saved: true, handled: 1, client: (scene) => scene.send({ method: 'POST', body: '{"a":1}', headers: JSON_TYPE }).heard },
  { name: 'a URL that is none', status: 400, saved: false, handled: 0, client: (scene) => scene.send({ path: '/way/%zz' }).heard },
  { name: 'no route', status: 404, saved: false, handled: 0, client: (scene) => scene.send({ path: '/nowhere' }).heard },
  { name: 'no route, own handler', status: 404, saved: true, handled: 0, later: (app) => { app.setNotFoundHandler((request, reply) => { reply.code(404).send({ n: count(request) }) }) }, client: (scene) => scene.send({ path: '/nowhere' }).heard },
  { name: 'no route, own handler throws', status: 500, saved: false, handled: 0, later: (app) => { app.setNotFoundHandler(async (request) => fails(request)) }, client: (scene) => scene.send({ path: '/nowhere' }).heard },
  { name: 'no route, and the client leaves its handler', status: null, saved: false, handled: 0, later: leaveNotFound, client: (scene) => scene.leaveAtPoint({ path: '/nowhere' }) },
  { name: 'callNotFound()', status: 404, saved: true, handler (request, reply) { count(request); reply.callNotFound() } },
  { name: 'callNotFound(), own async handler', status: 404, saved: true, handler (_request, reply) { reply.callNotFound() }, later: (app) => { app.setNotFoundHandler(async (request, reply) => { await pause(5); reply.code(404); return { n: count(request) } }) } },

  // ---- streams ----
  { name: 'a stream', status: 200, saved: true, handler (request) { count(request); return Readable.from(['a', 'b']) } },
  { name: 'a stream that breaks before its first byte', status: 500, saved: true, handler (request) { count(request); return brokenAfter(0) } },
  { name: 'a stream that breaks while the session is saved', status: 500, saved: true, handler (request) { count(request); return brokenAfter(0) }, store: slow('save', 'create') },
  { name: 'a stream that breaks midway', status: 200, saved: true, handler (request) { count(request); return brokenAfter(1) } },
  { name: 'a stream, and the client leaves midway', status: 200, saved: true, handler (request) { count(request); return endless() }, client: leaveInTheBody },
  { name: 'a stream, and the connection is lost midway', status: SOCKETS, missing: 'inject has no connection', saved: true, handler (request) { count(request); return endless() }, client: async (scene) => await leaveInTheBody(scene, 'connection') },
  { name: 'a web stream', status: 200, saved: true, handler (request) { count(request); return Readable.toWeb(Readable.from([Buffer.from('a'), Buffer.from('b')])) } },
  { name: 'a web stream that breaks midway', status: 200, orStatus: 500, saved: true, handler (request) { count(request); return Readable.toWeb(brokenAfter(1)) } },
  { name: 'a web stream, and the client leaves midway', status: 200, saved: true, handler (request) { count(request); return Readable.toWeb(endless()) }, client: leaveInTheBody },
  { name: 'a fetch Response with a cookie of its own', status: 201, saved: true, handler (request) { count(request); return new Response('x', { status: 201, headers: { 'set-cookie': 'other=1' } }) } },
  { name: 'session.commit() before a stream', status: 200, saved: true, async handler (request) { count(request); await request.session.commit(); return Readable.from(['a', 'b']) } },

  // ---- past Fastify ----
  { name: 'hijack, raw end', status: 200, saved: true, createsLate: true, handler (request, reply) { count(request); reply.hijack().raw.end('x') } },
  { name: 'hijack, raw end, async', status: 200, saved: true, createsLate: true, async handler (request, reply) { count(request); reply.hijack(); await pause(5); reply.raw.writeHead(200, { 'set-cookie': 'other=1' }).end('x') } },
  { name: 'hijack, saved before', status: 200, saved: true, async handler (request, reply) { count(request); await request.session.save(); reply.hijack().raw.end('x') } },
  { name: 'session.commit(), hijack, raw end', status: 200, saved: true, async handler (request, reply) { count(request); await request.session.commit(); reply.hijack(); await pause(5); reply.raw.end('x') } },
  { name: 'hijack, write to the session, throw', status: 200, saved: true, createsLate: true, async handler (request, reply) { count(request); reply.hijack().raw.end('x'); count(request) } },
  { name: 'hijack, never ended, and the client leaves', status: 200, saved: true, createsLate: true, handler (request, reply) { count(request); reply.hijack().raw.write('x') }, client: leaveInTheBody },
  { name: 'hijack, then the connection is cut', status: GONE, missing: 'inject takes it for an answer', saved: true, newcomer: 'unseen', handler (request, reply) { count(request); reply.hijack(); (reply.raw as { stream?: { destroy (): void } }).stream?.destroy(); reply.raw.destroy() } },
  { name: 'hijack, the session used later by a locked section', status: 200, saved: true, newcomer: false, async handler (request, reply) { reply.hijack(); await request.withSessionLock(async () => { count(request) }).catch(() => {}); reply.raw.end('x') } },
  { name: 'raw end without hijack', status: 200, saved: true, newcomer: false, handler (request, reply) { count(request); reply.raw.end('x') } },
  { name: 'raw end without hijack, async', status: 200, saved: true, newcomer: false, async handler (request, reply) { count(request); await pause(5); reply.raw.end('x') } },
  { name: 'raw end without hijack, then a write to the session', status: 200, saved: true, newcomer: false, async handler (request, reply, scene) { count(request); reply.raw.end('x'); await gone(reply); if (scene.key !== null) refuse(request, scene) } },
  // With HTTP/2 it depends on the version of Node.js whether the head still leaves.
  { name: 'raw.writeHead(), then return', status: { 'HTTP/1.1': null, 'HTTP/2': 200 }, orStatus: null, missing: 'inject never hears of its end', saved: true, newcomer: false, handler (request, reply) { count(request); reply.raw.writeHead(200); return 'x' } },
  { name: 'raw.write(), then return', status: SOCKETS, orStatus: null, missing: 'inject never hears of its end', saved: true, newcomer: false, async handler (request, reply) { count(request); reply.raw.write('x'); return 'y' } },
  { name: 'raw.writeHead(), then throw', status: { 'HTTP/1.1': null, 'HTTP/2': 200 }, orStatus: null, missing: 'inject never hears of its end', saved: false, async handler (request, reply) { reply.raw.writeHead(200); fails(request) } },
  { name: 'an upgrade', status: { 'HTTP/1.1': 101 }, missing: 'HTTP/1.1 only', saved: true, newcomer: null, handler: upgraded, later: upgrades, client: upgrade },

  // ---- the client leaves ----
  { name: 'leaves while it waits for the lock', status: null, saved: false, newcomer: null, handled: 0, client: (scene) => leaveWaiting(scene) },
  { name: 'leaves while it waits for the lock, with a body', status: null, saved: false, newcomer: null, handled: 0, client: (scene) => leaveWaiting(scene, { method: 'POST', body: '{}', headers: JSON_TYPE }) },
  { name: 'leaves before our hook', status: null, saved: false, handled: 0, earlier: slowHook('onRequest'), client: (scene) => scene.leaveAtPoint() },
  { name: 'leaves in a later onRequest hook', status: null, saved: false, later: slowHook('onRequest'), client: (scene) => scene.leaveAtPoint() },
  { name: 'leaves in a later preHandler hook', status: null, saved: false, later: slowHook('preHandler'), client: (scene) => scene.leaveAtPoint() },
  { name: 'leaves in a later preHandler hook that has written', status: null, saved: true, later (app, scene) { countEarly(app); slowHook('preHandler')(app, scene) }, handler: () => 'x', client: (scene) => scene.leaveAtPoint() },
  { name: 'leaves, the handler returns', status: null, saved: true, handler: leftThen(() => 'x'), client: (scene) => scene.leaveAtPoint() },
  { name: 'leaves, the handler returns nothing', status: null, saved: true, handler: leftThen(() => undefined), client: (scene) => scene.leaveAtPoint() },
  { name: 'leaves, the handler throws', status: null, saved: false, handler: leftThen(() => { throw new Error('too late') }), client: (scene) => scene.leaveAtPoint() },
  { name: 'leaves, the handler throws a 4xx', status: null, saved: true, handler: leftThen((request) => { fails(request, 404, 0) }), client: (scene) => scene.leaveAtPoint() },
  { name: 'leaves, the handler sends', status: null, saved: true, handler: leftThen((_request, reply) => { reply.send('x') }), client: (scene) => scene.leaveAtPoint() },
  { name: 'leaves, the handler returns a stream', status: null, saved: true, handler: leftThen(() => Readable.from(['a'])), client: (scene) => scene.leaveAtPoint() },
  { name: 'leaves, the handler hijacks', status: null, saved: true, handler: leftThen((_request, reply) => { reply.hijack() }), client: (scene) => scene.leaveAtPoint() },
  { name: 'leaves, the handler saves', status: null, saved: true, handler: leftThen(async (request) => { await request.session.save(); throw new Error('later') }), client: (scene) => scene.leaveAtPoint() },
  { name: 'leaves, the handler regenerates', status: null, saved: false, newcomer: null, handler: leftThen(async (request) => { await request.session.regenerate(true) }), client: (scene) => scene.leaveAtPoint() },
  { name: 'leaves, a callback handler sends', status: null, saved: true, handler (request, reply, scene) { count(request); scene.reached.open(); gone(reply).then(() => reply.send('x')) }, client: (scene) => scene.leaveAtPoint() },
  { name: 'leaves a callback handler that never answers', status: null, saved: false, plugin: { maxHold: 150 }, bound: 1000, handler (request, _reply, scene) { count(request); scene.reached.open() }, client: (scene) => scene.leaveAtPoint() },
  { name: 'leaves with its whole connection', status: GONE, missing: 'inject has no connection', saved: true, handler: leftThen(() => 'x'), client: (scene) => scene.leaveAtPoint({}, 'connection') },
  { name: 'leaves after sending a body', status: GONE, missing: 'inject does not hear of it', saved: true, handler: leftThen(() => 'x'), client: (scene) => scene.leaveAtPoint({ method: 'POST', body: '{"a":1}', headers: JSON_TYPE }) },
  { name: 'leaves, the handler throws to an async error handler', status: null, saved: false, handler: leftThen(() => { throw new Error('too late') }), later: (app) => { app.setErrorHandler(async (_error, _request, reply) => { await pause(5); reply.code(500); return 'x' }) }, client: (scene) => scene.leaveAtPoint() },
  { name: 'leaves, the handler throws, an earlier onError hook is slow', status: null, saved: false, handler: leftThen(() => { throw new Error('too late') }), earlier: (app) => { app.addHook('onError', async () => { await pause(5) }) }, client: (scene) => scene.leaveAtPoint() },
  { name: 'leaves, the handler throws, a later onError hook is slow', status: null, saved: false, handler: leftThen(() => { throw new Error('too late') }), later: (app) => { app.addHook('onError', async () => { await pause(5) }) }, client: (scene) => scene.leaveAtPoint() },
  { name: 'leaves during an earlier onSend hook', status: null, saved: true, earlier: slowHook('onSend'), client: (scene) => scene.leaveAtPoint() },
  { name: 'leaves during a later onSend hook', status: null, saved: true, newcomer: 'unseen', later: slowHook('onSend'), client: (scene) => scene.leaveAtPoint() },
  { name: 'leaves during a later onSend hook that never ends', status: null, saved: true, newcomer: 'unseen', later (app, scene) { app.addHook('onSend', (request, _reply, payload, done) => { if (isOurs(request)) scene.reached.open(); else done(null, payload) }) }, client: (scene) => scene.leaveAtPoint() },
  { name: 'leaves while the session is saved', status: null, saved: true, newcomer: 'unseen', store: slow('save', 'create'), client: (scene) => scene.leaveAtPoint() },
  { name: 'leaves in the middle of its body', status: GONE, missing: 'inject sends whole bodies', saved: false, handled: 0, later: reachEarly, client: (scene) => scene.leaveAtPoint({ method: 'POST', body: '{"a":', headers: JSON_TYPE, unfinished: true }) },
  { name: 'leaves in the middle of its body, a hook has written', status: GONE, missing: 'inject sends whole bodies', saved: true, newcomer: null, handled: 0, later (app, scene) { countEarly(app); reachEarly(app, scene) }, client: (scene) => scene.leaveAtPoint({ method: 'POST', body: '{"a":', headers: JSON_TYPE, unfinished: true }) },
  { name: 'expects 100, sends no body, leaves', status: { 'HTTP/1.1': null }, missing: 'HTTP/1.1 only', saved: false, newcomer: null, handled: 0, later: reachEarly, client: expectContinue },
  { name: 'closes its half of the connection', status: { 'HTTP/1.1': null }, missing: 'HTTP/1.1 only', saved: true, newcomer: null, handler: leftThen(() => 'x'), client: halfClose },
  { name: 'two requests of one session, pipelined', status: { 'HTTP/1.1': 200 }, missing: 'HTTP/1.1 only', saved: true, newcomer: null, handled: 2, handler: async (request, _reply, scene) => { await pause(5); return { n: scene.handled === 1 ? count(request) : request.session.get('n') } }, client: pipeline },

  // ---- time runs out ----
  { name: 'handlerTimeout while it waits for the lock', status: 503, saved: false, newcomer: null, handled: 0, route: { handlerTimeout: 40 }, client: waitInVain },
  { name: 'handlerTimeout while it waits for the lock, with a slow onSend hook', status: 503, saved: false, newcomer: null, handled: 0, route: { handlerTimeout: 40 }, client: waitInVain, later: (app) => { app.addHook('onSend', async (request, _reply, payload) => { if (isOurs(request)) await pause(20); return payload }) } },
  { name: 'handlerTimeout, and the lock comes while it answers', status: 503, saved: false, newcomer: null, route: { handlerTimeout: 40 }, client: waitAlmostInVain, earlier: (app, scene) => { app.addHook('onSend', async (request, _reply, payload) => { if (isOurs(request)) { scene.goOn.open(); await pause(30) } return payload }) } },
  { name: 'handlerTimeout while the handler runs', status: 503, saved: false, route: { handlerTimeout: 250 }, async handler (request, _reply, scene) { count(request); await scene.goOn.passed; refuse(request, scene) }, client: hearThenGoOn },
  { name: 'handlerTimeout while a locked section runs', status: 503, saved: true, newcomer: false, route: { handlerTimeout: 250 }, async handler (request, _reply, scene) { await request.withSessionLock(async () => { await scene.goOn.passed; count(request) }) }, client: hearThenGoOn },
  { name: 'handlerTimeout while a locked section runs, explicit', status: 503, saved: true, newcomer: false, route: { handlerTimeout: 250, ...explicit }, async handler (request, _reply, scene) { await request.withSessionLock(async () => { await scene.goOn.passed; count(request) }) }, client: hearThenGoOn },
  { name: 'handlerTimeout while a locked section waits, explicit', status: 503, saved: true, newcomer: null, route: { handlerTimeout: 250, ...explicit }, async handler (request, _reply, scene) { await request.withSessionLock(async () => { count(request); scene.goOn.open() }) }, client: async (scene) => { const heard = await scene.whileLocked(() => scene.send().heard); await scene.goOn.passed; return heard } },
  { name: 'handlerTimeout while acquireLock() waits', status: 503, saved: false, newcomer: null, route: { handlerTimeout: 250, ...explicit }, async handler (request, _reply, scene) { try { await request.session.acquireLock(); count(request) } finally { scene.goOn.open() } }, client: async (scene) => { const heard = await scene.whileLocked(() => scene.send().heard); await scene.goOn.passed; return heard } },
  { name: 'handlerTimeout while the session is saved', status: 503, saved: true, route: { handlerTimeout: 40 }, store: slow('save', 'create') },
  { name: 'handlerTimeout during a later onSend hook', status: 503, saved: true, route: { handlerTimeout: 250 }, later: (app) => { app.addHook('onSend', async (request, _reply, payload) => { if (isOurs(request)) await pause(500); return payload }) } },
  { name: 'handlerTimeout during a stream', status: 200, orStatus: 503, saved: true, route: { handlerTimeout: 400 }, handler (request) { count(request); return endless() } },
  { name: 'connectionTimeout', status: { 'HTTP/1.1': null }, missing: 'HTTP/2 only reports it', saved: true, server: { connectionTimeout: 50 }, async handler (request, reply) { count(request); await gone(reply); return 'x' } },
  { name: 'requestTimeout in the middle of a body', status: { 'HTTP/1.1': 408 }, missing: 'HTTP/1.1 only', saved: false, handled: 0, server: { requestTimeout: 50, http: { headersTimeout: 40, connectionsCheckingInterval: 20 } } as FastifyServerOptions, client: (scene) => scene.send({ method: 'POST', body: '{"a":', headers: JSON_TYPE, unfinished: true }).heard },
  { name: 'lockTimeout', status: 503, saved: false, newcomer: null, handled: 0, plugin: { lockTimeout: 300 }, client: waitInVain },
  { name: 'maxHold, and nobody came', status: 200, saved: true, plugin: { maxHold: 20 }, async handler (request) { count(request); await pause(150); return 'x' } },
  { name: 'maxHold, and somebody has written', status: 409, saved: true, newcomer: null, plugin: { maxHold: 20 }, async handler (request, _reply, scene) { request.session.set('n', 7); scene.reached.open(); await scene.goOn.passed; return 'x' }, client: overtake },

  // ---- locks taken by the handler ----
  { name: 'a locked section', status: 200, saved: true, handler: (request) => request.withSessionLock(async () => ({ n: count(request) })) },
  { name: 'a locked section, explicit', status: 200, saved: true, route: explicit, handler: (request) => request.withSessionLock(async () => ({ n: count(request) })) },
  { name: 'a locked section that throws', status: 500, saved: false, handler: (request) => request.withSessionLock(async () => fails(request)) },
  { name: 'a locked section that throws a 4xx, explicit', status: 409, saved: false, route: explicit, handler: (request) => request.withSessionLock(async () => fails(request, 409)) },
  { name: 'a locked section that throws, and the handler goes on, explicit', status: 200, saved: false, route: explicit, handler: (request) => request.withSessionLock(async () => fails(request)).catch(() => 'x') },
  { name: 'a locked section that redirects', status: 302, saved: true, handler: (request, reply) => request.withSessionLock(() => { count(request); return reply.redirect('/there') }) },
  { name: 'a locked section that redirects, explicit', status: 302, saved: true, route: explicit, handler: (request, reply) => request.withSessionLock(() => { count(request); return reply.redirect('/there') }) },
  { name: 'a locked section that redirects, explicit, async', status: 302, saved: true, route: explicit, handler: (request, reply) => request.withSessionLock(async () => { count(request); await pause(5); return reply.redirect('/there') }) },
  { name: 'a locked section that hijacks, explicit', status: 200, saved: true, createsLate: true, route: explicit, handler: (request, reply) => request.withSessionLock(async () => { count(request); reply.hijack().raw.end('x') }) },
  { name: 'a locked section that sends and throws, explicit', status: 200, orStatus: 500, saved: true, route: explicit, handler: (request, reply) => request.withSessionLock(async () => { count(request); reply.send('x'); throw new Error('after the reply') }) },
  { name: 'a locked section nobody waits for', status: 200, saved: true, newcomer: false, handler: notAwaited, client: hearThenWait },
  { name: 'a locked section nobody waits for, explicit', status: 200, saved: true, newcomer: false, route: explicit, handler: notAwaited, client: hearThenWait },
  { name: 'a locked section nobody waits for, over at once', status: 200, saved: true, createsLate: true, async handler (request) { request.withSessionLock(() => { count(request) }).catch(() => {}); return 'x' } },
  { name: 'two locked sections side by side', status: 200, saved: true, route: explicit, handler: (request) => Promise.all([request.withSessionLock(async () => { await pause(5); return count(request) }), request.withSessionLock(() => request.session.get('n'))]) },
  { name: 'a locked section in another', status: 200, saved: true, route: explicit, handler: (request) => request.withSessionLock(() => request.withSessionLock(async () => ({ n: count(request) }))) },
  { name: 'leaves during a locked section, explicit', status: null, saved: true, route: explicit, handler: (request, reply, scene) => request.withSessionLock(async () => { scene.reached.open(); await gone(reply); count(request) }), client: (scene) => scene.leaveAtPoint() },
  { name: 'leaves in a preHandler hook, a locked section redirects, explicit', status: null, saved: true, newcomer: null, route: explicit, later: slowHook('preHandler'), handler: (request, reply) => request.withSessionLock(async () => { count(request); await pause(5); return reply.redirect('/there') }), client: leaveThenSaved },
  { name: 'leaves while a locked section waits, explicit', status: null, saved: true, newcomer: null, route: explicit, handler: (request, _reply, scene) => request.withSessionLock(async () => { count(request); scene.goOn.open() }), client: async (scene) => { const heard = await leaveWaiting(scene, {}, 20); await scene.goOn.passed; return heard } },
  { name: 'acquireLock(), never released, explicit', status: 200, saved: true, route: explicit, async handler (request) { await request.session.acquireLock(); return { n: count(request) } } },
  { name: 'acquireLock(), then throw, explicit', status: 500, saved: false, route: explicit, async handler (request) { await request.session.acquireLock(); fails(request) } },
  { name: 'acquireLock(), never released, and the client leaves, explicit', status: null, saved: true, route: explicit, async handler (request, reply, scene) { await request.session.acquireLock(); count(request); scene.reached.open(); await gone(reply) }, client: (scene) => scene.leaveAtPoint() },
  { name: 'acquireLock() nobody waits for, explicit', status: 200, saved: false, route: explicit, async handler (request) { request.session.acquireLock().catch(() => {}); return 'x' } },
  { name: 'releaseLock(), then return', status: 200, saved: true, async handler (request) { count(request); await request.session.releaseLock(); await pause(5); return 'x' } },
  { name: 'releaseLock() in a locked section', status: 500, saved: false, handler: (request) => request.withSessionLock(async () => { count(request); await request.session.releaseLock() }) },
  { name: 'releaseLock() nobody waits for', status: 200, saved: true, async handler (request) { count(request); request.session.releaseLock().catch(() => {}); return 'x' } },
  { name: 'releaseLock(), then throw', status: 500, saved: true, async handler (request) { count(request); await request.session.releaseLock(); throw new Error('later') } },
  { name: 'save(), then throw', status: 500, saved: true, async handler (request) { count(request); await request.session.save(); throw new Error('later') } },
  { name: 'save() nobody waits for', status: 200, saved: true, async handler (request) { count(request); request.session.save().catch(() => {}); request.session.set('more', 1); return 'x' } },
  { name: 'a write while save() is under way', status: 200, saved: true, async handler (request) { request.session.set('first', 1); const saved = request.session.save(); count(request); await saved; return 'x' } },
  { name: 'save() nobody waits for, then throw', status: 500, saved: true, async handler (request) { count(request); request.session.save().catch(() => {}); throw new Error('later') } },
  { name: 'commit() nobody waits for', status: 200, saved: true, async handler (request) { count(request); request.session.commit().catch(() => {}); return 'x' } },
  { name: 'a read-only route', status: 200, saved: false, route: { config: { session: { locking: 'readonly' } } }, handler: (request) => ({ n: request.session.get('n', 0) }) },
  { name: 'a route without a session', status: 200, saved: false, route: { config: { session: false } }, handler: () => 'x' },

  // ---- the store fails ----
  { name: 'the session cannot be loaded', status: 503, saved: false, newcomer: null, handled: 0, store: failing('acquire') },
  { name: 'the session cannot be saved', status: 503, saved: false, store: failing('save', 'create') },
  { name: 'the session cannot be saved before a stream', status: 503, saved: false, store: failing('save', 'create'), handler (request) { count(request); return endless() } },
  { name: 'the session cannot be saved, and the client has left', status: null, saved: false, store: failing('save', 'create'), handler: leftThen(() => undefined), client: (scene) => scene.leaveAtPoint() },
  { name: 'the session cannot be saved at hijack', status: 200, saved: false, newcomer: null, store: failing('save'), handler (request, reply) { count(request); reply.hijack().raw.end('x') } },
  { name: 'the session cannot be saved in a locked section, explicit', status: 503, saved: false, route: explicit, store: failing('save', 'create'), handler: (request) => request.withSessionLock(async () => ({ n: count(request) })) },
  { name: 'the expiry cannot be moved', status: 503, saved: false, newcomer: null, store: failing('touch'), handler: () => 'x' },
  { name: 'the expiry cannot be moved, explicit', status: 503, saved: false, newcomer: null, route: explicit, store: failing('touch'), handler: () => 'x' },
  { name: 'the expiry cannot be moved, at once', status: 503, saved: false, newcomer: null, storeAtOnce: failing('touch'), handler: () => 'x' },
  { name: 'the expiry cannot be moved, at once, explicit', status: 503, saved: false, newcomer: null, route: explicit, storeAtOnce: failing('touch'), handler: () => 'x' },
  { name: 'the session cannot be saved, at once', status: 503, saved: false, storeAtOnce: failing('save', 'create') },
  { name: 'the session cannot be saved, at once, before a stream', status: 503, saved: false, storeAtOnce: failing('save', 'create'), handler (request) { count(request); return endless() } },
  { name: 'the session cannot be loaded, at once', status: 503, saved: false, newcomer: null, handled: 0, storeAtOnce: failing('acquire') },
  { name: 'the lock cannot be given back', status: 500, saved: false, newcomer: null, plugin: { touchInterval: 60_000 }, handler: failing500, store: (call, scene) => call === 'release' && !scene.failed.has(call) ? pause(5) : undefined },
  { name: 'the session is too large to be loaded', status: 500, saved: false, newcomer: null, handled: 0, plugin: { maxRecordSize: 3 }, nextStatus: 500 },
  { name: 'the session is too large to be loaded, explicit', status: 500, saved: false, newcomer: null, route: explicit, plugin: { maxRecordSize: 3 }, nextStatus: 500 },

  // ---- the application is closed ----
  { name: 'app.close() while the handler runs', status: SOCKETS, missing: 'inject has no connection that it could wait for', saved: true, closes: true, server: { forceCloseConnections: false }, async handler (request, _reply, scene) { scene.reached.open(); await scene.goOn.passed; return { n: count(request) } }, client: closeAtPoint },
  { name: 'app.close() that cuts connections while the handler runs', status: { 'HTTP/1.1': null, 'HTTP/2': 200 }, missing: 'inject has no connection', saved: true, closes: true, async handler (request, _reply, scene) { scene.reached.open(); await scene.goOn.passed; return { n: count(request) } }, client: closeAtPoint },
  { name: 'app.close() after the client has left', status: null, saved: true, closes: true, async handler (request, reply, scene) { const left = gone(reply); scene.reached.open(); await scene.goOn.passed; await left; count(request) }, client: closeAfterLeaving },
  { name: 'app.close() after the client has left, explicit', status: null, saved: true, closes: true, route: explicit, async handler (request, reply, scene) { const left = gone(reply); scene.reached.open(); await scene.goOn.passed; await left; await request.withSessionLock(async () => { count(request) }) }, client: closeAfterLeaving },
  { name: 'app.close() while it waits for the lock', status: 200, saved: true, newcomer: null, closes: true, server: { forceCloseConnections: false }, client: async (scene) => { let closed; const heard = await (await scene.whileLocked(async () => { const exchange = scene.send(); await scene.someoneWaits(); closed = scene.app.close(); await pause(10); return [exchange] }))[0]!.heard; await closed; return heard } },
  { name: 'app.close() during a stream', status: SOCKETS, missing: 'inject has no connection', saved: true, closes: true, handler (request) { count(request); return endless() }, client: async (scene) => { const exchange = scene.send(); await exchange.begun; const closed = scene.app.close(); await pause(5); exchange.leave(); await closed; return await exchange.heard } }
]

// ---- handlers and hooks that several lines share ----

function isOurs (request: FastifyRequest): boolean {
  return request.url.startsWith('/way')
}

/** Makes the change, and fails. */
function fails (request: FastifyRequest, statusCode = 500, changes = 1): never {
  for (let i = 0; i < changes; i++) count(request)
  throw Object.assign(new Error('This handler fails on purpose'), { statusCode })
}

function failing500 (request: FastifyRequest): never {
  fails(request)
}

/** The write must not go unnoticed: it comes after the session was saved. */
function refuse (request: FastifyRequest, scene: Scene): void {
  try {
    count(request)
  } catch (error) {
    scene.refused = (error as { code: string }).code
  }
  if (scene.refused !== 'FST_SESSION_COMMITTED') throw new Error('A write after the end was accepted')
}

function countEarly (app: FastifyInstance): void {
  app.addHook('onRequest', async (request) => { if (isOurs(request)) count(request) })
}

function reachEarly (app: FastifyInstance, scene: Scene): void {
  app.addHook('onRequest', async (request) => { if (isOurs(request)) scene.reached.open() })
}

/** A hook that takes until the client has gone. */
function slowHook (name: 'onRequest' | 'preHandler' | 'onSend') {
  return (app: FastifyInstance, scene: Scene): void => {
    app.addHook(name as 'onRequest', async (request: FastifyRequest, reply: FastifyReply) => {
      if (!isOurs(request)) return
      scene.reached.open()
      await gone(reply)
    })
  }
}

/** A handler that makes its change, and does the rest when the client has gone. */
function leftThen (rest: (request: FastifyRequest, reply: FastifyReply) => unknown): NonNullable<Way['handler']> {
  return async (request, reply, scene) => {
    count(request)
    scene.reached.open()
    await gone(reply)
    return await rest(request, reply)
  }
}

function leaveNotFound (app: FastifyInstance, scene: Scene): void {
  app.setNotFoundHandler(async (request, reply) => {
    scene.reached.open()
    await gone(reply)
    if (scene.key !== null) refuse(request, scene)
  })
}

async function notAwaited (request: FastifyRequest, _reply: FastifyReply, scene: Scene): Promise<string> {
  request.withSessionLock(async () => {
    await pause(10)
    count(request)
  }).catch(() => {}).then(() => scene.goOn.open())
  return 'x'
}

function upgrades (app: FastifyInstance): void {
  app.server.on('upgrade', (request, socket) => {
    const response = new ServerResponse(request)
    response.assignSocket(socket as net.Socket)
    app.routing(request, response)
  })
}

function upgraded (request: FastifyRequest, reply: FastifyReply): void {
  count(request)
  reply.hijack()
  request.raw.socket.resume().on('end', () => request.raw.socket.end())
  request.raw.socket.write('HTTP/1.1 101 Switching Protocols\r\nupgrade: test\r\nconnection: upgrade\r\n\r\n')
}

// ---- streams ----

function brokenAfter (chunks: number): Readable {
  let sent = 0
  return new Readable({
    read () {
      if (sent++ < chunks) this.push('x')
      else setTimeout(() => this.destroy(new Error('This stream breaks on purpose')), 5)
    }
  })
}

function endless (): Readable {
  return new Readable({
    read () { setTimeout(() => this.push('x'.repeat(100)), 1) }
  })
}

// ---- stores ----

function failing (...calls: string[]): NonNullable<Way['store']> {
  return (call, scene) => {
    if (calls.includes(call)) scene.failOnce(call)
    return undefined
  }
}

function slow (...calls: string[]): NonNullable<Way['store']> {
  return async (call, scene) => {
    if (!calls.includes(call)) return
    scene.reached.open()
    await pause(80)
  }
}

// ---- clients ----

async function leaveInTheBody (scene: Scene, what?: 'connection'): Promise<Heard> {
  const exchange = scene.send()
  await exchange.begun
  await pause(5)
  exchange.leave(what)
  return await exchange.heard
}

/** Nothing is locked when the client leaves; the save comes later. */
async function leaveThenSaved (scene: Scene): Promise<Heard> {
  const heard = await scene.leaveAtPoint()
  await until(() => scene.app.sessions.stats().saves > 0)
  return heard
}

/** Gives the lock back when the server has seen that the client is gone; a locked section waits on, so that needs a bound. */
async function leaveWaiting (scene: Scene, request?: Parameters<Scene['send']>[0], bound?: number): Promise<Heard> {
  return await scene.whileLocked(async () => {
    const exchange = scene.send(request)
    await scene.someoneWaits()
    exchange.leave()
    const heard = await exchange.heard
    await until(() => scene.app.sessions.stats().locks.waiting === 0, bound)
    return heard
  })
}

async function waitInVain (scene: Scene): Promise<Heard> {
  return await scene.whileLocked(async () => {
    const heard = await scene.send().heard
    await pause(20)
    return heard
  })
}

async function waitAlmostInVain (scene: Scene): Promise<Heard> {
  let exchange
  await scene.whileLocked(async () => {
    exchange = scene.send()
    await scene.goOn.passed
  })
  return await exchange!.heard
}

async function hearThenGoOn (scene: Scene): Promise<Heard> {
  const heard = await scene.send().heard
  scene.goOn.open()
  return heard
}

async function hearThenWait (scene: Scene): Promise<Heard> {
  const heard = await scene.send().heard
  await scene.goOn.passed
  return heard
}

async function closeAtPoint (scene: Scene): Promise<Heard> {
  const exchange = scene.send()
  await scene.reached.passed
  const closed = scene.app.close()
  await pause(20)
  scene.goOn.open()
  await closed
  return await exchange.heard
}

async function closeAfterLeaving (scene: Scene): Promise<Heard> {
  const heard = await scene.leaveAtPoint()
  const closed = scene.app.close()
  await pause(20)
  scene.goOn.open()
  await closed
  return heard
}

/** Another request gets the lock that the first has held for too long, and counts. */
async function overtake (scene: Scene): Promise<Heard> {
  const exchange = scene.send()
  await scene.reached.passed
  await scene.app.sessions.with(scene.cookie!, (session) => { session.set('n', 1) })
  scene.goOn.open()
  return await exchange.heard
}

/** Writes raw HTTP/1.1, and collects what comes back until `enough` or the end. */
async function raw (scene: Scene, text: string, enough: (answer: string) => boolean, then: (socket: net.Socket) => unknown): Promise<string> {
  const socket = net.connect({ port: scene.client.port, host: '127.0.0.1', allowHalfOpen: true })
  scene.atEnd.push(() => socket.destroy())
  let answer = ''
  let closed = false
  socket.on('data', (chunk) => { answer += chunk })
  socket.on('close', () => { closed = true })
  socket.on('end', () => socket.end())
  socket.on('error', () => {})
  socket.write(text)
  await then(socket)
  await until(() => closed || enough(answer))
  return answer
}

function heardOf (answer: string): Heard {
  const status = /HTTP\/1\.1 (\d+)/.exec(answer)?.[1]
  return { status: status === undefined ? null : Number(status), headers: {}, setCookie: [], body: answer, whole: true }
}

function get (scene: Scene, ...headers: string[]): string {
  return [`GET /way HTTP/1.1\r\nhost: localhost\r\ncookie: ${scene.cookie}`, ...headers].join('\r\n') + '\r\n\r\n'
}

async function upgrade (scene: Scene): Promise<Heard> {
  return heardOf(await raw(scene, get(scene, 'connection: upgrade', 'upgrade: test'), (answer) => answer.includes('\r\n\r\n'), () => {}))
}

async function halfClose (scene: Scene): Promise<Heard> {
  return heardOf(await raw(scene, get(scene), () => false, async (socket) => {
    await scene.reached.passed
    socket.end()
  }))
}

async function expectContinue (scene: Scene): Promise<Heard> {
  const request = get(scene, 'content-type: application/json', 'content-length: 10', 'expect: 100-continue').replace('GET', 'POST')
  const answer = await raw(scene, request, () => false, async (socket) => {
    await scene.reached.passed
    socket.destroy()
  })
  return heardOf(answer.replace('HTTP/1.1 100 Continue', ''))
}

async function pipeline (scene: Scene): Promise<Heard> {
  const answer = await raw(scene, get(scene) + get(scene), (answer) => answer.split('{"n":1}').length === 3, () => {})
  return heardOf(answer.split('{"n":1}').length === 3 ? answer : '')
}

// ---- the runs ----

/** Most of the time goes by waiting, so several ways are run side by side. */
const AT_A_TIME = 6

/** To look into a single way: a part of its name. */
const only = process.env.WAY ?? ''

async function runAll (title: string, chosen: Way[], makeStore: (t: Test) => Store): Promise<void> {
  const ways = chosen.filter(way => way.name.includes(only))
  await test(`L6: ${ways.length} ways to end a request, ${title}`, async (t) => {
    const watch = new ProcessWatch()
    const results = new Map<string, string[]>(ways.map(way => [way.name, []]))
    const runs = ways.flatMap(way => transportsOf(way).map(transport => ({ way, transport })))
    await Promise.all(Array.from({ length: AT_A_TIME }, async () => {
      for (let run = runs.shift(); run !== undefined; run = runs.shift()) {
        const { way, transport } = run
        const problems = await runWay(way, transport, () => makeStore(t)).catch(error => [`it threw ${(error as Error).stack}`])
        results.get(way.name)!.push(...problems.map(problem => `${transport}: ${problem}`))
      }
    }))
    for (const [name, problems] of results) t.same(problems, [], name)
    t.same(await watch.end(), [], 'the process is as it was')
  })
}

const seed = Number(process.env.SEED ?? Date.now() % 100_000)
const random = seededRandom(seed)
let folders = 0

await runAll('in memory', ways, () => new MemoryStore())
await runAll(`in a store that answers later (SEED=${seed})`, ways, () => new AwaitedStore(new MemoryStore(), smallDelays(random)))
await runAll('in files', ways.filter(way => /^(returns a value|throws|a stream|hijack|leaves|handlerTimeout while|maxHold|a locked section|save\(\)|app\.close)/.test(way.name)),
  (t) => new FileStore({ directory: join(t.testdirName, String(folders++)) }))
