// A PostgreSQL server and a streaming standby. Clients reach the one that is in charge through one port.
import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { Test } from 'tap'
import { TcpProxy } from './tcp-proxy.js'
import { findProgram, Service, startPostgres, unprivileged } from './local-services.js'

export class PostgresPair {
  #markers = 0

  private constructor (
    private readonly primary: Service,
    private readonly standby: Service,
    private readonly proxy: TcpProxy
  ) {}

  static async start (t: Test): Promise<PostgresPair> {
    const settings = { fsync: 'off', wal_retrieve_retry_interval: '100ms' }
    const primary = await startPostgres(t, settings)
    const standby = await startPostgres(t, settings, (folder) => {
      const program = findProgram('pg_basebackup')
      if (program === null) throw new Error('pg_basebackup is not installed')
      execFileSync(program, ['-D', join(folder, 'data'), '-h', '127.0.0.1', '-p', String(primary.port), '-U', 'postgres', '-R', '-c', 'fast', '--no-sync'], { stdio: 'ignore', ...unprivileged('pg_basebackup') })
      rmSync(join(folder, 'data/postmaster.pid'), { force: true })
    })
    return new PostgresPair(primary, standby, await TcpProxy.start(t, primary.port))
  }

  /** Where the clients connect. */
  get port (): number { return this.proxy.port }

  /** Resolves when the standby has all that was committed until now. */
  async replicated (): Promise<void> {
    const n = ++this.#markers
    // What is committed later is later in the log, so the marker arrives last.
    await ask(this.primary, `CREATE TABLE IF NOT EXISTS markers (n int); INSERT INTO markers VALUES (${n})`)
    await until(async () => (await ask(this.standby, "SELECT to_regclass('markers') AS found"))[0].found !== null &&
      (await ask(this.standby, `SELECT n FROM markers WHERE n = ${n}`)).length === 1)
  }

  /** From now on nothing reaches the standby, while the primary goes on. */
  async stopReplication (): Promise<void> {
    await ask(this.standby, "ALTER SYSTEM SET primary_conninfo = ''")
    await ask(this.standby, 'SELECT pg_reload_conf()')
    await until(async () => (await ask(this.primary, 'SELECT pid FROM pg_stat_replication')).length === 0)
  }

  /** The primary dies, the standby takes its place. */
  async failOver (): Promise<void> {
    await this.primary.kill()
    await ask(this.standby, 'SELECT pg_promote()')
    await until(async () => !(await ask(this.standby, 'SELECT pg_is_in_recovery() AS standby'))[0].standby)
    this.proxy.pointTo(this.standby.port)
  }
}

async function ask ({ port }: Service, sql: string): Promise<any[]> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' })
  await client.connect()
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}

async function until (condition: () => Promise<boolean>): Promise<void> {
  for (const end = performance.now() + 20_000; !await condition(); await sleep(20)) {
    if (performance.now() > end) throw new Error('the standby did not get so far in 20 s')
  }
}
