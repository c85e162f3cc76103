// The published stores for express-session, each with the server it needs.
import connectPgSimple from 'connect-pg-simple'
import { RedisStore as ConnectRedis } from 'connect-redis'
import session from 'express-session'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import pg from 'pg'
import { createClient } from 'redis'
import sessionFileStore from 'session-file-store'
import type { Test } from 'tap'
import type { ExpressSessionStore } from '../../lib/stores/express/index.js'
import { skipWithout, startPostgres, startRedis } from './local-services.js'

interface Published {
  skip: string | false
  /** Whether it can list its sessions. */
  listing: boolean
  /** Starts its server; returns what makes an empty store. */
  start (t: Test): Promise<() => Promise<ExpressSessionStore>>
}

export const PUBLISHED: Record<string, Published> = {
  'MemoryStore of express-session': {
    skip: false,
    listing: true,
    start: async () => async () => new session.MemoryStore()
  },

  'session-file-store': {
    skip: false,
    listing: false,
    async start (t) {
      const base = t.testdir()
      const FileStore = sessionFileStore(session)
      return async () => new FileStore({ path: join(base, randomBytes(6).toString('hex')), retries: 0, reapInterval: -1, logFn () {} })
    }
  },

  'connect-redis': {
    skip: skipWithout('redis-server'),
    listing: true,
    async start (t) {
      const redis = await startRedis(t, ['--appendonly', 'no'])
      const client = createClient({ url: `redis://127.0.0.1:${redis.port}` })
      client.on('error', () => {})
      await client.connect()
      t.teardown(() => client.destroy())
      return async () => new ConnectRedis({ client, prefix: `${randomBytes(6).toString('hex')}:` })
    }
  },

  'connect-pg-simple': {
    skip: skipWithout('postgres', 'initdb'),
    listing: false,
    async start (t) {
      const postgres = await startPostgres(t, { fsync: 'off' })
      const pool = new pg.Pool({ host: '127.0.0.1', port: postgres.port, user: 'postgres', database: 'postgres' })
      pool.on('error', () => {})
      t.teardown(async () => { await pool.end() })
      const PgStore = connectPgSimple(session)
      return async () => {
        const tableName = `sessions_${randomBytes(6).toString('hex')}`
        await pool.query(`CREATE TABLE ${tableName} (sid varchar PRIMARY KEY, sess json NOT NULL, expire timestamp(6) NOT NULL)`)
        return new PgStore({ pool, tableName, pruneSessionInterval: false })
      }
    }
  }
}
