// A store that breaks down.
import { sleep } from '../patience.js'
import type { HttpScene } from './scene.js'
import type { StoreCall } from './watched-store.js'

export const DRIVER_MESSAGES = [
  'ENOSPC: no space left on device, write \'/var/lib/secret-folder/file\'',
  'connect ECONNREFUSED 10.1.2.3:6379 password=secret-of-the-driver'
]

/** Stores fail in two ways: at once, or later. */
export const WAYS = {
  throws: (error: Error) => { throw error },
  rejects: async (error: Error) => {
    await sleep(1)
    throw error
  }
} as const

/** From now on these calls fail, until `scene.store.before` is set again. */
export function breakDown (scene: HttpScene, fail: (error: Error) => unknown, calls: StoreCall[], message = DRIVER_MESSAGES[0]!): void {
  scene.store.forget()
  scene.store.before = (call, key) => {
    if (calls.includes(call)) return fail(new Error(`${message} ${key}`))
  }
}
