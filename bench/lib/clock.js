import { setTimeout as sleep } from 'node:timers/promises'

const cell = new Int32Array(new SharedArrayBuffer(4))

/** Milliseconds of the monotonic clock, which all processes of a host share. */
export function now () {
  return Number(process.hrtime.bigint()) / 1e6
}

/**
 * Work that takes `ms` and no CPU. A timer alone overshoots by up to 1.2 ms; this one sleeps
 * up to the last millisecond and spends the rest in a futex wait.
 */
export async function work (ms) {
  const begin = now()
  await sleep(ms - 1)
  const left = begin + ms - now()
  if (left > 0) Atomics.wait(cell, 0, 0, left)
}
