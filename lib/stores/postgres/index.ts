// The entry point fastify-locked-session/postgres. It does not load pg: the pool is given.
export { PostgresStore, type PostgresStoreOptions } from './postgres-store.js'
export type { PgClient, PgPool, PgResult } from './connection.js'
