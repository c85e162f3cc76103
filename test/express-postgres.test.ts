// A store for express-session in PostgreSQL, with the locks of a PostgresStore.
import connectPgSimple from 'connect-pg-simple'
import session from 'express-session'
import pg from 'pg'
import t, { type Test } from 'tap'
import { ExpressStore } from '../lib/stores/express/index.js'
import { PostgresStore } from '../lib/stores/postgres/index.js'
import { inFourProcesses, suites } from './helpers/express-network.js'
import { type Service, skipWithout, startPostgres } from './helpers/local-services.js'

t.test('connect-pg-simple with the locks of a PostgresStore', { skip: skipWithout('postgres', 'initdb') }, async (t) => {
  const start = async (t: Test): Promise<Service> => await startPostgres(t, { fsync: 'off' })
  const postgres = await start(t)
  const pool = new pg.Pool({ host: '127.0.0.1', port: postgres.port, user: 'postgres', database: 'postgres', max: 20 })
  pool.on('error', () => {})
  t.teardown(async () => { await pool.end() })
  const PgStore = connectPgSimple(session)
  await suites(t, false, place => new ExpressStore({
    store: new PgStore({ pool, tableName: place, pruneSessionInterval: false }),
    lock: new PostgresStore({ pool, table: `${place}_lock` })
  }), async place => await pool.query(`CREATE TABLE ${place} (sid varchar PRIMARY KEY, sess json NOT NULL, expire timestamp(6) NOT NULL)`))
  await inFourProcesses(t, { backend: 'express-postgres', startService: start })
})
