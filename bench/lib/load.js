import { start } from './fork.js'

/**
 * The load generator, in a process of its own. Unlike autocannon it lets every request in
 * flight come back before it stops, so that lost updates can be counted to the last one.
 */
export async function startLoad () {
  const { ask, stop } = await start(new URL('./load-worker.js', import.meta.url))

  /** `server.cpu()` is asked after the connections are open and again after the last response. */
  async function run (server, { connections, ...shot }) {
    await ask('connect', { port: server.port, connections })
    const before = await server.cpu()
    const { ok, failed, seconds, busy } = await ask('fire', shot)
    const after = await server.cpu()
    await ask('disconnect')
    return {
      ok,
      failed,
      loadBusy: busy,
      requestsPerSecond: (ok + failed) / seconds,
      cpu: (after - before) / (ok + failed)
    }
  }

  return { run, stop }
}
