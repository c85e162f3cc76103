// Encrypts a text for a cookie: XChaCha20-Poly1305, whose nonces are long enough to be drawn at random for ever.
import { xchacha20poly1305 } from '@noble/ciphers/chacha.js'
import { hkdfSync, randomBytes } from 'node:crypto'

const NONCE = 24
const TAG = 16
/** Goes into the key, so that a secret shared with another program gives another key here. */
const PURPOSE = 'fastify-locked-session cookie 1'

export class SecretBox {
  readonly #key: Uint8Array

  constructor (secret: string) {
    this.#key = new Uint8Array(hkdfSync('sha256', secret, '', PURPOSE, 32))
  }

  /** base64url. `context` is not in it, but has to be the same to decrypt. */
  encrypt (plain: Uint8Array, context: string): string {
    const nonce = randomBytes(NONCE)
    return Buffer.concat([nonce, this.#cipher(nonce, context).encrypt(plain)]).toString('base64url')
  }

  /** null: not encrypted with this secret for this context, or damaged. */
  decrypt (text: string, context: string): Uint8Array | null {
    const bytes = Buffer.from(text, 'base64url')
    if (bytes.length < NONCE + TAG) return null
    try {
      return this.#cipher(bytes.subarray(0, NONCE), context).decrypt(bytes.subarray(NONCE))
    } catch {
      return null
    }
  }

  #cipher (nonce: Uint8Array, context: string) {
    return xchacha20poly1305(this.#key, nonce, Buffer.from(context))
  }
}
