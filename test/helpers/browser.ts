// A browser with several tabs: real HTTP by fetch(), one set of cookies, redirects followed by hand.
export class Browser {
  readonly cookies = new Map<string, string>()

  constructor (readonly address: string) {}

  /** The Cookie header. */
  get header (): string {
    return [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ')
  }

  get id (): string | undefined { return this.cookies.get('sessionId') }

  async fetch (path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers)
    if (this.cookies.size > 0) headers.set('cookie', this.header)
    const response = await fetch(new URL(path, this.address), { redirect: 'manual', ...init, headers })
    for (const line of response.headers.getSetCookie()) this.#keep(line)
    return response
  }

  async get (path: string): Promise<any> {
    return await (await this.fetch(path)).json()
  }

  /** The parsed answer. */
  async post (path: string, body: object = {}): Promise<any> {
    return await (await this.send(path, body)).json()
  }

  /** The answer as it came. */
  async send (path: string, body: object = {}, headers: Record<string, string> = {}): Promise<Response> {
    return await this.fetch(path, { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json', ...headers } })
  }

  #keep (line: string): void {
    const [, name, value] = /^([^=]+)=([^;]*)/.exec(line)!
    if (value === '' || /;\s*Max-Age=0/i.test(line)) this.cookies.delete(name!)
    else this.cookies.set(name!, value!)
  }
}

/** Does something several times at once. */
export async function atOnce<T> (times: number, fn: (index: number) => Promise<T>): Promise<T[]> {
  return await Promise.all(Array.from({ length: times }, (_, index) => fn(index)))
}
