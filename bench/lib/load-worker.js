import net from 'node:net'
import { once } from 'node:events'
import { answer } from './answer.js'
import { ResponseCounter } from './response-counter.js'

const DRAIN_TIMEOUT = 60_000

let sockets = []

async function connect ({ port, connections }) {
  sockets = Array.from({ length: connections }, () => net.connect({ port, host: '127.0.0.1', noDelay: true }))
  await Promise.all(sockets.map((socket) => once(socket, 'connect')))
}

function disconnect () {
  for (const socket of sockets) socket.destroy()
  sockets = []
}

/** May one more request be sent? Until the time is up, or until the amount is used up. */
function budget ({ seconds, amount = Infinity }) {
  const end = seconds === undefined ? Infinity : performance.now() + seconds * 1000
  return () => performance.now() < end && amount-- > 0
}

/** With enough cookies every connection has its own ones, so that no two requests in flight share a session. */
function share (cookies, index) {
  const size = Math.floor(cookies.length / sockets.length)
  return size > 0 ? cookies.slice(index * size, (index + 1) * size) : cookies
}

/** Keeps `pipelining` requests in flight on one connection; resolves when the last one is answered. */
function drive (socket, requests, pipelining, more) {
  return new Promise((resolve, reject) => {
    const counter = new ResponseCounter()
    let next = 0
    let inFlight = 0

    function send (count) {
      let text = ''
      while (count-- > 0 && more()) {
        text += requests[next]
        next = (next + 1) % requests.length
        inFlight++
      }
      if (text !== '') socket.write(text, 'latin1')
      else if (inFlight === 0) finish()
    }

    function receive (chunk) {
      const complete = counter.push(chunk)
      inFlight -= complete
      if (complete > 0) send(complete)
    }

    function finish () {
      socket.off('data', receive)
      socket.off('close', fail)
      socket.off('error', fail)
      resolve(counter)
    }

    function fail (error) {
      reject(error instanceof Error ? error : new Error(`the server closed a connection with ${inFlight} requests in flight`))
    }

    socket.on('data', receive)
    socket.on('close', fail)
    socket.on('error', fail)
    send(pipelining)
  })
}

async function fire ({ path, cookies, pipelining, seconds, amount }) {
  const more = budget({ seconds, amount })
  const cpu = process.cpuUsage()
  const begin = performance.now()
  const watchdog = setTimeout(disconnect, (seconds ?? 0) * 1000 + DRAIN_TIMEOUT)
  const counters = await Promise.all(sockets.map((socket, index) => {
    const requests = share(cookies, index).map((cookie) =>
      `GET ${path} HTTP/1.1\r\nHost: localhost\r\nCookie: ${cookie}\r\n\r\n`)
    return drive(socket, requests, pipelining, more)
  }))
  clearTimeout(watchdog)
  const elapsed = performance.now() - begin
  const used = process.cpuUsage(cpu)
  return {
    ok: counters.reduce((total, { ok }) => total + ok, 0),
    failed: counters.reduce((total, { failed }) => total + failed, 0),
    seconds: elapsed / 1000,
    busy: (used.user + used.system) / 1000 / elapsed
  }
}

answer({ start () {}, connect, fire, disconnect })
