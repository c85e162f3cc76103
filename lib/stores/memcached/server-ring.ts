// Which server has which session: the one with the highest score for its key (rendezvous hashing). Without a table, the
// same in every process, and when a server is added or taken away, only the sessions that it gets or had are elsewhere.
import { createHash } from 'node:crypto'
import type { Address } from './meta-connection.js'

const DEFAULT_PORT = 11211

export class ServerRing<Server> {
  readonly #seeds: number[]

  /** `names` belong to `servers`, in the same order. What counts is the name, not the order. */
  constructor (readonly servers: Server[], names: string[]) {
    this.#seeds = names.map(name => createHash('sha256').update(name).digest().readUInt32BE())
  }

  /** `key`: SHA-256, in hexadecimal digits. */
  serverOf (key: string): Server {
    const bits = Number.parseInt(key.slice(0, 8), 16)
    let best = 0
    let highest = -1
    for (const [index, seed] of this.#seeds.entries()) {
      const score = mix(bits ^ seed)
      if (score <= highest) continue
      best = index
      highest = score
    }
    return this.servers[best]!
  }
}

/** The finalizer of MurmurHash3: each bit of the input changes half of the bits of the result. */
function mix (value: number): number {
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b)
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35)
  return (value ^ (value >>> 16)) >>> 0
}

/** `host`, `host:port` or `[IPv6]:port`; null: none of these. */
export function parseAddress (text: string): Address | null {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^\s:/[\]]+))(?::(\d{1,5}))?$/i.exec(text)
  const port = Number(match?.[3] ?? DEFAULT_PORT)
  const host = match?.[1] ?? match?.[2]
  return host === undefined || port < 1 || port > 65_535 ? null : { host, port }
}
