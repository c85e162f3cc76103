// The PostgreSQL store across processes, and when the server fails. It keeps what it has acknowledged.
import pg from 'pg'
import t from 'tap'
import { type Service, skipWithout, startPostgres } from './helpers/local-services.js'
import { outages } from './helpers/network-outages.js'
import { processFaults } from './helpers/network-processes.js'
import { NetworkScene } from './helpers/network-scene.js'
import { turnCases } from './helpers/network-turns.js'

const lease = 2000
/** The default. */
const claim = 1500

async function cut ({ port }: Service): Promise<number> {
  const admin = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' })
  await admin.connect()
  const { rows } = await admin.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'")
  await admin.end()
  return rows.length
}

t.test('the PostgreSQL store stands faults', { skip: skipWithout('postgres', 'initdb') }, async (t) => {
  const scene = await NetworkScene.begin(t, { backend: 'postgres', startService: async t => await startPostgres(t), options: { lease } })
  turnCases(t, scene, { cost: 2.5 })
  processFaults(t, scene, { lease, claim })
  outages(t, scene, { durable: true, cut: async () => await cut(scene.service) })
})
