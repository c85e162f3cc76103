import { fork } from 'node:child_process'

/**
 * Starts a child process that answers questions (see answer.js) and waits for
 * its answer to the first one, `start`.
 */
export async function start (module, argument, options = {}) {
  const child = fork(module, [], options)
  const pending = new Map()
  let last = 0

  child.on('message', ({ id, answer, error }) => {
    const { resolve, reject } = pending.get(id)
    pending.delete(id)
    if (error === undefined) resolve(answer)
    else reject(new Error(error))
  })
  child.on('exit', (code, signal) => {
    for (const { reject } of pending.values()) {
      reject(new Error(`${module} ended with ${signal ?? code}`))
    }
    pending.clear()
  })

  function ask (question, argument) {
    return new Promise((resolve, reject) => {
      const id = ++last
      pending.set(id, { resolve, reject })
      child.send({ id, question, argument })
    })
  }

  function stop () {
    if (child.exitCode !== null || child.signalCode !== null) return
    return new Promise((resolve) => {
      child.once('exit', resolve)
      child.kill()
    })
  }

  return { started: await ask('start', argument), ask, stop }
}
