// The default serializer. JSON drops some values without a word; those are refused, naming the key.
import type { Serializer } from '../../types/options.js'
import { NotSerializableError } from '../errors.js'

export const jsonSerializer: Serializer = {
  encode (data) {
    for (const key in data) {
      const reason = whyLost(data[key])
      if (reason !== null) throw new NotSerializableError(key, reason)
    }
    return JSON.stringify(data)
  },
  decode (raw) {
    return JSON.parse(typeof raw === 'string' ? raw : Buffer.from(raw).toString())
  }
}

function whyLost (value: unknown): string | null {
  switch (typeof value) {
    case 'function': return 'it is a function'
    case 'symbol': return 'it is a symbol'
    case 'object':
      if (value instanceof Map || value instanceof Set) return 'JSON turns a Map or Set into {}; convert it to an array'
  }
  return null
}
