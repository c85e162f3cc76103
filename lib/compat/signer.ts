// Signs session ids, and follows an array of secrets that the application changes while it runs.
import fastifyCookie from '@fastify/cookie'
import type { CookieSigner } from '../../types/options.js'

export type Secret = string | string[] | CookieSigner

/** Throws with the texts of @fastify/session. */
export function signerOf (secret: unknown, algorithm: string): CookieSigner {
  if (typeof secret === 'string') {
    if (secret.length < 32) throw new Error('the secret must have length 32 or greater')
    return new fastifyCookie.Signer(secret, algorithm)
  }
  if (Array.isArray(secret)) {
    if (secret.length === 0) throw new Error('at least one secret is required')
    return new RotatingSigner(secret, algorithm)
  }
  const signer = secret as CookieSigner | undefined
  if (signer && typeof signer.sign === 'function' && typeof signer.unsign === 'function') return signer
  throw new Error('the secret option is required, and must be a String, Array of Strings, or a signer object with .sign and .unsign methods')
}

/** Whether it signs an id in the same way each time. That of an application may not. */
export function isStable (signer: CookieSigner): boolean {
  return signer instanceof fastifyCookie.Signer || signer instanceof RotatingSigner
}

/** A Signer keeps the first secret that it was given, so there is a new one whenever the array has changed. */
class RotatingSigner implements CookieSigner {
  #known: string[]
  #signer: CookieSigner

  constructor (private readonly secrets: string[], private readonly algorithm: string) {
    this.#known = [...secrets]
    this.#signer = new fastifyCookie.Signer(this.#known, algorithm)
  }

  sign (value: string): string {
    return this.#current.sign(value)
  }

  unsign (value: string): ReturnType<CookieSigner['unsign']> {
    return this.#current.unsign(value)
  }

  get #current (): CookieSigner {
    const known = this.#known
    const changed = this.secrets.length !== known.length || this.secrets.some((secret, index) => secret !== known[index])
    if (changed) {
      this.#known = [...this.secrets]
      this.#signer = new fastifyCookie.Signer(this.#known, this.algorithm)
    }
    return this.#signer
  }
}
