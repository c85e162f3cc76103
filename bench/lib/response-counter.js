const LENGTH = 'content-length: '

/**
 * Counts complete HTTP/1.1 responses in a byte stream. Knows only what a Fastify server
 * sends in these benchmarks: a status line, headers with a content-length, a body.
 * That keeps the load generator cheaper than any of the servers it measures.
 */
export class ResponseCounter {
  ok = 0
  failed = 0
  #rest = ''

  /** Returns how many responses this chunk completed. */
  push (chunk) {
    const text = this.#rest + chunk.latin1Slice()
    let start = 0
    let complete = 0
    for (;;) {
      const headersEnd = text.indexOf('\r\n\r\n', start)
      if (headersEnd === -1) break
      const length = text.indexOf(LENGTH, start)
      if (length === -1 || length > headersEnd) throw new Error('response without content-length')
      const end = headersEnd + 4 + Number.parseInt(text.slice(length + LENGTH.length, length + LENGTH.length + 10), 10)
      if (end > text.length) break
      // 'HTTP/1.1 2xx': the first digit of the status is at 9
      if (text.charCodeAt(start + 9) === 50) this.ok++
      else this.failed++
      complete++
      start = end
    }
    this.#rest = text.slice(start)
    return complete
  }
}
