// A Redis master with a replica whose link can be cut, and Sentinel to watch them: all real servers.
import { Redis } from 'ioredis'
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { Service, startRedis } from './local-services.js'
import { TcpProxy } from './tcp-proxy.js'

const QUICK = ['--repl-diskless-sync-delay', '0', '--appendfsync', 'no']

export interface Pair {
  readonly master: Service
  readonly replica: Service
  /** Where clients connect: to the master, until the replica is promoted. */
  readonly address: TcpProxy
  /** What the master acknowledges from now on does not reach the replica. */
  cutReplication (): Promise<void>
  /** Makes the replica a master, and sends all clients there. */
  promote (): Promise<void>
}

/** A master, and a replica that has everything so far. */
export async function startPair (t: Test): Promise<Pair> {
  const master = await startRedis(t, QUICK)
  const link = await TcpProxy.start(t, master.port)
  const replica = await startReplica(t, link.port)
  const address = await TcpProxy.start(t, master.port)
  const admin = new Redis({ port: replica.port })
  t.teardown(() => admin.disconnect())
  return {
    master,
    replica,
    address,
    async cutReplication () {
      await replicated(master)
      link.refuse()
    },
    async promote () {
      await admin.replicaof('NO', 'ONE')
      address.pointTo(replica.port)
    }
  }
}

export async function startReplica (t: Test, masterPort: number): Promise<Service> {
  const replica = await startRedis(t, [...QUICK, '--replicaof', '127.0.0.1', String(masterPort)])
  const admin = new Redis({ port: replica.port })
  for (const end = performance.now() + 20_000; !(await admin.info('replication')).includes('master_link_status:up'); await sleep(20)) {
    if (performance.now() > end) throw new Error('The replica did not come up')
  }
  admin.disconnect()
  return replica
}

/** Resolves when the replica has everything that the master has now. */
export async function replicated (master: Service): Promise<void> {
  const admin = new Redis({ port: master.port })
  await admin.ping() // WAIT counts from the last command of its connection.
  const replicas = await admin.wait(1, 20_000)
  admin.disconnect()
  if (replicas !== 1) throw new Error('The replica does not follow')
}

/** Sentinel watches the master under the name `main`. One is enough to decide. */
export async function startSentinel (t: Test, master: Service): Promise<Service> {
  const sentinel = await Service.start(t, {
    program: 'redis-server',
    prepare (folder, port) {
      const file = join(folder, 'sentinel.conf')
      writeFileSync(file, `port ${port}
bind 127.0.0.1
dir ${folder}
sentinel monitor main 127.0.0.1 ${master.port} 1
sentinel down-after-milliseconds main 1000
sentinel failover-timeout main 5000
`)
      chmodSync(file, 0o666) // It writes into it what it finds out, and runs as somebody else.
    },
    args: (_port, folder) => [join(folder, 'sentinel.conf'), '--sentinel']
  })
  const admin = new Redis({ port: sentinel.port })
  const hasReplica = async (): Promise<boolean> => (await admin.call('SENTINEL', 'REPLICAS', 'main') as unknown[]).length > 0
  for (const end = performance.now() + 30_000; !(await hasReplica()); await sleep(100)) {
    if (performance.now() > end) throw new Error('Sentinel did not find the replica')
  }
  admin.disconnect()
  return sentinel
}
