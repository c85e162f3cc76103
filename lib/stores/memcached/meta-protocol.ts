// The meta protocol of memcached 1.6, as far as the store needs it: commands to bytes, bytes to replies.
// https://github.com/memcached/memcached/blob/master/doc/protocol.txt

/** The longest line a server sends is an error or a setting; more than this is not memcached. */
const MAX_LINE = 8192
const CR = 13
const LF = 10
const EMPTY: Buffer = Buffer.alloc(0)

const REPLIES = ['HD', 'VA', 'EN', 'NS', 'EX', 'NF', 'MN', 'STAT', 'END', 'SERVER_ERROR'] as const
/** HD: done. VA: a value. EN: a miss. NS: not stored. EX: another CAS. NF: no such item. MN: to `mn`. STAT, END: of `stats`. */
export type ReplyStatus = typeof REPLIES[number]

export interface Reply {
  readonly status: ReplyStatus
  /** What follows the status in its line. */
  readonly text: string
  /** The version of the item, if it was asked for. 64 bits, so it stays a text. */
  readonly cas: string
  /** How long the item still lives, in s, if it was asked for; -1 = without end. */
  readonly ttl: number
  /** null: there is none, or it was larger than allowed and has been skipped. */
  readonly value: Buffer | null
  /** How large the value is, in bytes, also of one that was skipped. */
  readonly size: number
}

/** The other side does not speak the protocol as expected, so nothing after it can be understood either. */
export class ProtocolError extends Error {}

/** `flags`: `c` = CAS, `v` = value, `t` = remaining TTL. A miss is answered, too. */
export function get (key: string, flags: string): Buffer {
  return Buffer.from(`mg ${key} ${flags}\r\n`)
}

/** `flags`: `ME` = only if absent, `MA` = append, `C<cas>` = only this version, `T<ttl>`, `c` = answer with the new CAS. */
export function set (key: string, value: Uint8Array | string, flags: string): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value
  return Buffer.concat([Buffer.from(`ms ${key} ${bytes.length} ${flags}\r\n`), bytes, Buffer.from('\r\n')])
}

export function remove (key: string, cas?: string): Buffer {
  return Buffer.from(cas === undefined ? `md ${key}\r\n` : `md ${key} C${cas}\r\n`)
}

/** Takes bytes in pieces of any size and calls back once for each complete reply. Throws ProtocolError. */
export class ReplyParser {
  /** The beginning of a line whose end has not come yet. */
  #line = EMPTY
  /** The reply whose value is being read. */
  #reply: Reply | null = null
  #read = 0

  constructor (private readonly maxValue: number, private readonly onReply: (reply: Reply) => void) {}

  push (chunk: Buffer): void {
    for (let at = 0; at < chunk.length;) {
      at = this.#reply === null ? this.#pushLine(chunk, at) : this.#pushValue(this.#reply, chunk, at)
    }
  }

  #pushLine (chunk: Buffer, at: number): number {
    const end = chunk.indexOf(LF, at)
    const piece = chunk.subarray(at, end === -1 ? chunk.length : end)
    if (this.#line.length + piece.length > MAX_LINE) throw new ProtocolError('a line without end')
    const line = this.#line.length === 0 ? piece : Buffer.concat([this.#line, piece])
    if (end === -1) {
      this.#line = Buffer.from(line)
      return chunk.length
    }
    this.#line = EMPTY
    if (line.at(-1) !== CR) throw new ProtocolError('a line that does not end with CR LF')
    const reply = parseLine(line.toString('latin1', 0, line.length - 1), this.maxValue)
    if (reply.status === 'VA') {
      this.#reply = reply
      this.#read = 0
    } else {
      this.onReply(reply)
    }
    return end + 1
  }

  /** The value, and CR LF after it. */
  #pushValue (reply: Reply, chunk: Buffer, at: number): number {
    const end = Math.min(chunk.length, at + reply.size - this.#read)
    if (end > at) {
      if (reply.value !== null) chunk.copy(reply.value, this.#read, at, end)
      this.#read += end - at
      return end
    }
    if (chunk[at] !== (this.#read === reply.size ? CR : LF)) throw new ProtocolError('a value longer than announced')
    if (this.#read++ > reply.size) {
      this.#reply = null
      this.onReply(reply)
    }
    return at + 1
  }
}

function parseLine (line: string, maxValue: number): Reply {
  const [status, ...rest] = line.split(' ')
  // ERROR and CLIENT_ERROR among them: the server has not understood us, and may take a value for the next command.
  if (!(REPLIES as readonly string[]).includes(status!)) throw new ProtocolError(`unexpected reply: ${JSON.stringify(line.slice(0, 100))}`)
  const reply = { status: status as ReplyStatus, text: rest.join(' '), cas: '', ttl: -1, value: null as Buffer | null, size: 0 }
  if (reply.status !== 'HD' && reply.status !== 'VA') return reply
  if (reply.status === 'VA') {
    reply.size = wholeNumber(rest.shift())
    if (reply.size <= maxValue) reply.value = Buffer.allocUnsafe(reply.size)
  }
  for (const flag of rest) {
    if (flag[0] === 'c') reply.cas = digits(flag.slice(1))
    else if (flag[0] === 't') reply.ttl = flag === 't-1' ? -1 : wholeNumber(flag.slice(1))
  }
  return reply
}

function digits (text: string | undefined): string {
  if (text === undefined || !/^\d{1,20}$/.test(text)) throw new ProtocolError('a number is missing')
  return text
}

function wholeNumber (text: string | undefined): number {
  const value = Number(digits(text))
  if (!Number.isSafeInteger(value)) throw new ProtocolError('a number is too large')
  return value
}
