import http from 'node:http'

export const agent = new http.Agent({ keepAlive: true, maxSockets: Infinity, noDelay: true })

/** One GET; resolves to status, cookie (`name=value`, if the response set one) and the JSON body. */
export function get (port, path, cookie) {
  return new Promise((resolve, reject) => {
    const headers = cookie === undefined ? {} : { cookie }
    http.get({ port, host: '127.0.0.1', path, agent, headers }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk) => { text += chunk })
      response.on('error', reject)
      response.on('end', () => resolve({
        status: response.statusCode,
        cookie: response.headers['set-cookie']?.[0].split(';', 1)[0],
        body: JSON.parse(text)
      }))
    }).on('error', reject)
  })
}

/** Like get(), for answers that must be good. */
export async function getOk (port, path, cookie) {
  const response = await get(port, path, cookie)
  if (response.status !== 200) {
    throw new Error(`GET ${path} answered ${response.status}: ${JSON.stringify(response.body)}`)
  }
  return response
}

/** Starts a session and returns its cookie. */
export async function openSession (port, path) {
  const { cookie } = await getOk(port, path)
  if (cookie === undefined) throw new Error(`GET ${path} set no cookie`)
  return cookie
}
