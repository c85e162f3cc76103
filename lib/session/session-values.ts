// The data of one session in one request, and whether it has changed since it was stored.
import { isDeepStrictEqual } from 'node:util'
import type { Serializer } from '../../types/options.js'
import { isSessionError, NotSerializableError, TooLargeError } from '../errors.js'

type Raw = string | Uint8Array

export class SessionValues {
  #values: Record<string, unknown>
  /** As last loaded or saved; null for a session that is not stored. */
  #raw: Raw | null
  /** How often a key was set or deleted. */
  edits = 0
  /** `edits` when the values were last equal to what is stored. */
  #savedEdits = 0
  /** An object inside was handed out or taken in; it may change without our seeing it. */
  #shared = false

  /** Throws when the raw data cannot be decoded to an object. */
  constructor (raw: Raw | null, readonly serializer: Serializer) {
    this.#raw = raw
    this.#values = raw === null ? {} : decode(serializer, raw)
  }

  get #assigned (): boolean { return this.edits !== this.#savedEdits }

  get (key: string): unknown {
    if (!Object.hasOwn(this.#values, key)) return undefined
    const value = this.#values[key]
    if (typeof value === 'object' && value !== null) this.#shared = true
    return value
  }

  has (key: string): boolean {
    return Object.hasOwn(this.#values, key)
  }

  set (key: string, value: unknown): void {
    if (typeof value === 'object' && value !== null) {
      this.#shared = true
    } else if (Object.is(this.#values[key], value) && Object.hasOwn(this.#values, key)) {
      return
    }
    this.edits++
    if (key === '__proto__') {
      // An assignment would replace the prototype; as an own property it is data like any other.
      Object.defineProperty(this.#values, key, { value, writable: true, enumerable: true, configurable: true })
    } else {
      this.#values[key] = value
    }
  }

  delete (key: string): boolean {
    if (!Object.hasOwn(this.#values, key)) return false
    this.edits++
    return delete this.#values[key]
  }

  clear (): void {
    if (this.size === 0) return
    this.edits++
    this.#values = {}
  }

  /** The data themselves, for who looks at all of them. Changes are found by comparing. */
  all (): Record<string, unknown> {
    this.#shared = true
    return this.#values
  }

  keys (): string[] {
    return Object.keys(this.#values)
  }

  get size (): number {
    return Object.keys(this.#values).length
  }

  /** The encoded data if they differ from what is stored, else null. */
  encodeIfChanged (maxSize: number): Raw | null {
    if (!this.#assigned && !this.#shared) return null
    const encoded = this.encode(maxSize)
    if (this.#raw !== null && sameRaw(encoded, this.#raw)) return null
    // Nothing was assigned: either a nested value changed, or the data were stored by another encoder.
    if (!this.#assigned && this.#raw !== null && isDeepStrictEqual(decode(this.serializer, this.#raw), this.#values)) return null
    return encoded
  }

  /** Throws `FST_SESSION_NOT_SERIALIZABLE` naming the key, or `FST_SESSION_TOO_LARGE`. */
  encode (maxSize: number): Raw {
    let encoded
    try {
      encoded = this.serializer.encode(this.#values)
    } catch (error) {
      throw isSessionError(error) ? error : this.#blame(error)
    }
    // A character is at most three bytes, so most strings need no counting.
    if (encoded.length * 3 > maxSize) {
      const bytes = typeof encoded === 'string' ? Buffer.byteLength(encoded) : encoded.length
      if (bytes > maxSize) throw new TooLargeError(bytes, maxSize)
    }
    return encoded
  }

  /** The present data, to come back to with `restore`. Costs nothing while nothing was touched. */
  snapshot (): Raw | null {
    return this.#assigned || this.#shared ? this.encode(Infinity) : this.#raw
  }

  /** The data are stored as they were after so many `edits`; later ones are still to be saved. */
  markSaved (raw: Raw, edits: number): void {
    this.#raw = raw
    this.#savedEdits = edits
  }

  /** Back to what is stored. */
  revert (): void {
    if (!this.#assigned && !this.#shared) return
    this.restore(this.#raw)
  }

  /** Replaces the data by a copy encoded earlier, which need not equal what is stored. */
  restore (raw: Raw | null): void {
    this.#values = raw === null ? {} : decode(this.serializer, raw)
    this.#shared = false
    if (raw === this.#raw) this.#savedEdits = this.edits
    else this.edits++
  }

  #blame (cause: unknown): Error {
    for (const key of Object.keys(this.#values)) {
      try {
        this.serializer.encode({ [key]: this.#values[key] })
      } catch (error) {
        return isSessionError(error) ? error : new NotSerializableError(key, reasonOf(cause), { cause })
      }
    }
    return new NotSerializableError('(all keys together)', reasonOf(cause), { cause })
  }
}

// The engine's text can quote values ("Do not know how to serialize a BigInt" does not, a getter's error may).
function reasonOf (cause: unknown): string {
  return cause instanceof TypeError ? 'it is a BigInt, refers to itself, or is otherwise not encodable' : 'the serializer failed on it'
}

function decode (serializer: Serializer, raw: Raw): Record<string, unknown> {
  const values = serializer.decode(raw)
  if (typeof values !== 'object' || values === null || Array.isArray(values)) throw new TypeError('The stored session data are not an object')
  return values
}

function sameRaw (a: Raw, b: Raw): boolean {
  if (typeof a === 'string' && typeof b === 'string') return a === b
  return Buffer.compare(Buffer.from(a as any), Buffer.from(b as any)) === 0
}
