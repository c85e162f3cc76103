// Puts the session's headers on a reply. Idempotent, because onSend can run twice for one reply.
import type { FastifyReply } from 'fastify'
import type { ServerResponse } from 'node:http'

/** Sets our cookie, replacing an earlier one of the same name and keeping all others. */
export function setCookieHeader (reply: FastifyReply, name: string, cookie: string): void {
  const others = withoutOurs(reply.getHeader('set-cookie'), name)
  reply.removeHeader('set-cookie')
  reply.header('set-cookie', others.length === 0 ? cookie : [...others, cookie])
}

export function removeCookieHeader (reply: FastifyReply, name: string): void {
  const existing = reply.getHeader('set-cookie')
  if (existing === undefined) return
  const others = withoutOurs(existing, name)
  reply.removeHeader('set-cookie')
  if (others.length > 0) reply.header('set-cookie', others)
}

/** `Vary: Cookie`, merged with what is there. */
export function varyByCookie (reply: FastifyReply): void {
  const vary = reply.getHeader('vary')
  if (vary === undefined) {
    reply.header('vary', 'Cookie')
  } else {
    const names = String(vary).split(',').map(name => name.trim().toLowerCase())
    if (!names.includes('cookie') && !names.includes('*')) reply.header('vary', `${String(vary)}, Cookie`)
  }
}

/**
 * Puts the cookie on a hijacked reply, whose handler writes the headers itself. Headers given to writeHead()
 * replace those set before, so a Set-Cookie among them is merged with ours.
 */
export function setCookieOnRaw (raw: ServerResponse, cookie: string): void {
  if (raw.headersSent) return
  raw.appendHeader('set-cookie', cookie)
  const writeHead = raw.writeHead
  raw.writeHead = function (this: ServerResponse, ...args: any[]) {
    raw.writeHead = writeHead
    const headers = args.at(-1)
    if (Array.isArray(headers)) {
      mergeIntoList(headers, cookie)
    } else if (typeof headers === 'object' && headers !== null) {
      const name = Object.keys(headers).find(key => key.toLowerCase() === 'set-cookie')
      if (name !== undefined) args[args.length - 1] = { ...headers, [name]: [headers[name], cookie].flat() }
    }
    return (writeHead as any).apply(raw, args)
  } as any
}

/** `[name, value, name, value]` or `[[name, value], …]`: both forms are allowed. */
function mergeIntoList (headers: any[], cookie: string): void {
  const pairs = Array.isArray(headers[0])
  const has = pairs
    ? headers.some(([name]) => String(name).toLowerCase() === 'set-cookie')
    : headers.some((name, index) => index % 2 === 0 && String(name).toLowerCase() === 'set-cookie')
  if (!has) return
  if (pairs) headers.push(['set-cookie', cookie])
  else headers.push('set-cookie', cookie)
}

function withoutOurs (header: string | number | string[] | undefined, name: string): string[] {
  if (header === undefined) return []
  return [header].flat().map(String).filter(cookie => !cookie.startsWith(`${name}=`))
}
