// The PostgreSQL store across processes, and when the server fails. It keeps what it has acknowledged.
import pg from 'pg'
import t from 'tap'
import { type Service, skipWithout, startPostgres } from './helpers/local-services.js'
import { networkFaults } from './helpers/network-faults.js'

const lease = 2000

async function cut ({ port }: Service): Promise<void> {
  const admin = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' })
  await admin.connect()
  await admin.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'")
  await admin.end()
}

t.test('the PostgreSQL store stands faults', { skip: skipWithout('postgres', 'initdb') }, async (t) => {
  await networkFaults(t, { backend: 'postgres', startService: async t => await startPostgres(t), options: { lease }, lease, durable: true, cut })
})
