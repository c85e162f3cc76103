// A Redis Cluster of masters, each a real server on a free port; and moving a slot from one to another.
import { Redis } from 'ioredis'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { type Service, startRedis } from './local-services.js'
import { freePort } from './plain-node.js'

const SLOTS = 16_384

export class RedisCluster {
  readonly #busPorts: readonly number[]

  private constructor (readonly nodes: readonly Service[], readonly admins: readonly Redis[], busPorts: readonly number[]) {
    this.#busPorts = busPorts
  }

  static async start (t: Test, size = 3): Promise<RedisCluster> {
    const busPorts = await Promise.all(Array.from({ length: size }, freePort))
    const nodes = await Promise.all(busPorts.map(async busPort => await startNode(t, busPort)))
    const admins = nodes.map(({ port }) => new Redis({ port }))
    for (const admin of admins) admin.on('error', () => {}) // A test may kill its node.
    t.teardown(() => { for (const admin of admins) admin.disconnect() })
    const cluster = new RedisCluster(nodes, admins, busPorts)
    for (const [index, admin] of admins.entries()) {
      const from = Math.floor(index * SLOTS / size)
      const to = Math.floor((index + 1) * SLOTS / size) - 1
      await admin.call('CLUSTER', 'SET-CONFIG-EPOCH', index + 1)
      await admin.call('CLUSTER', 'ADDSLOTSRANGE', from, to)
      await admins[0]!.call('CLUSTER', 'MEET', '127.0.0.1', nodes[index]!.port, busPorts[index]!)
    }
    const isUp = async (admin: Redis): Promise<boolean> => {
      const info = String(await admin.call('CLUSTER', 'INFO'))
      return info.includes('cluster_state:ok') && info.includes(`cluster_known_nodes:${size}`) && info.includes(`cluster_slots_ok:${SLOTS}`)
    }
    await until('The cluster did not come up', async () => (await Promise.all(admins.map(isUp))).every(Boolean))
    return cluster
  }

  /** A replica of one of the nodes, with everything it has. */
  async addReplica (t: Test, of: number): Promise<void> {
    const busPort = await freePort()
    const { port } = await startNode(t, busPort)
    const admin = new Redis({ port })
    t.teardown(() => admin.disconnect())
    await admin.call('CLUSTER', 'MEET', '127.0.0.1', this.ports[of]!, this.#busPorts[of]!)
    const id = String(await this.admins[of]!.call('CLUSTER', 'MYID'))
    await until('The replica did not come up', async () => {
      if (!String(await admin.call('CLUSTER', 'NODES')).includes(id)) return false
      await admin.call('CLUSTER', 'REPLICATE', id).catch(() => {}) // It may not know yet that this is a master.
      return (await admin.info('replication')).includes('master_link_status:up')
    })
    await until('The cluster does not know the replica', async () =>
      (await Promise.all(this.admins.map(async admin => String(await admin.call('CLUSTER', 'NODES'))))).every(nodes => nodes.includes(`slave ${id}`)))
  }

  get ports (): number[] { return this.nodes.map(({ port }) => port) }

  /** The number of the node that has the slot of this key. */
  async nodeOf (key: string): Promise<number> {
    const slot = await this.slotOf(key)
    const ranges = await this.admins[0]!.call('CLUSTER', 'SLOTS') as Array<[from: number, to: number, [host: string, port: number]]>
    const [, , [, port]] = ranges.find(([from, to]) => from <= slot && slot <= to)!
    return this.ports.indexOf(port)
  }

  async slotOf (key: string): Promise<number> {
    return await this.admins[0]!.call('CLUSTER', 'KEYSLOT', key) as number
  }

  /** Moves one slot, and everything in it, in the steps that redis-cli takes. `between`: half of it is done. */
  async moveSlot (slot: number, from: number, to: number, between: { marked? (): Promise<void>, moved? (): Promise<void> } = {}): Promise<void> {
    const [source, target] = [this.admins[from]!, this.admins[to]!]
    const [sourceId, targetId] = [await source.call('CLUSTER', 'MYID'), await target.call('CLUSTER', 'MYID')] as [string, string]
    await target.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', sourceId)
    await source.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', targetId)
    await between.marked?.()
    for (const key of await source.call('CLUSTER', 'GETKEYSINSLOT', slot, 1000) as string[]) {
      await source.call('MIGRATE', '127.0.0.1', this.ports[to]!, key, 0, 5000)
    }
    await between.moved?.()
    await target.call('CLUSTER', 'SETSLOT', slot, 'NODE', targetId)
    await source.call('CLUSTER', 'SETSLOT', slot, 'NODE', targetId)
  }
}

async function startNode (t: Test, busPort: number): Promise<Service> {
  // The usual port of the bus, 10 000 above the other, may not exist.
  return await startRedis(t, [
    '--cluster-enabled', 'yes', '--cluster-port', String(busPort), '--cluster-node-timeout', '2000',
    '--repl-diskless-sync-delay', '0', '--appendfsync', 'no'
  ])
}

async function until (failure: string, holds: () => Promise<boolean>): Promise<void> {
  for (const end = performance.now() + 20_000; !(await holds()); await sleep(50)) {
    if (performance.now() > end) throw new Error(failure)
  }
}
