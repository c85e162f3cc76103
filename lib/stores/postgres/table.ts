// The table of the sessions: what it has to look like, and how it is made or brought up to date.
import { InvalidOptionError } from '../../errors.js'
import type { Connection } from './connection.js'
import { quoted } from './names.js'
import type { PostgresTable } from './postgres-store.js'

/** The columns of the first version, which no table can do without. */
const ORIGINAL = {
  key: 'text',
  data: 'bytea',
  is_text: 'boolean',
  created_at: 'bigint',
  last_accessed_at: 'bigint',
  expires_at: 'bigint',
  version: 'uuid'
}

/**
 * Columns that can be added to a table with sessions: type, and what else belongs to it.
 * prune_from is expires_at, rounded down to ten minutes. It is indexed in its place: an update that changes an indexed
 * column has to write to all indexes, and expires_at changes with almost every visit.
 */
const ADDED: Record<string, [type: string, more?: string]> = {
  user_name: ['text'],
  lock_token: ['uuid'],
  lock_until: ['timestamp with time zone'],
  holder: ['jsonb'],
  waiters: ['jsonb', "NOT NULL DEFAULT '[]'"],
  moved: ['boolean', 'NOT NULL DEFAULT false'],
  moved_to: ['text'],
  prune_from: ['bigint', 'GENERATED ALWAYS AS (expires_at / 600000 * 600000) STORED']
}

const TYPES: Record<string, string> = { ...ORIGINAL, ...Object.fromEntries(Object.entries(ADDED).map(([name, [type]]) => [name, type])) }

const FOUND = `SELECT attname AS name, format_type(atttypid, atttypmod) AS type,
  EXISTS (SELECT FROM pg_index WHERE indrelid = attrelid AND indkey[0] = attnum AND indisvalid AND indpred IS NULL) AS indexed,
  EXISTS (SELECT FROM pg_index WHERE indrelid = attrelid AND indkey[0] = attnum AND indisvalid AND indpred IS NULL
    AND indisunique AND indnkeyatts = 1) AS is_unique
FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped`

/** SQLSTATE: the role may not do that. */
const INSUFFICIENT_PRIVILEGE = '42501'

export class Table {
  /** As it is written in SQL. */
  readonly name: string
  /** Makes the table, or adds what an older one lacks. Does nothing to one that is complete. */
  readonly sql: string

  constructor ({ schema, table = 'fastify_sessions' }: PostgresTable) {
    const within = (name: string) => schema === undefined ? quoted(name) : quoted(schema, name)
    this.name = within(table)
    const added = Object.entries(ADDED).map(([name, definition]) => `${name} ${definition.join(' ')}`)
    this.sql = `CREATE TABLE IF NOT EXISTS ${this.name} (
  key text COLLATE "C" PRIMARY KEY,
${Object.entries(ORIGINAL).slice(1).map(([name, type]) => `  ${name} ${type} NOT NULL`).join(',\n')},
${added.map(column => `  ${column}`).join(',\n')}
) WITH (fillfactor = 70);
ALTER TABLE ${this.name}
${added.map(column => `  ADD COLUMN IF NOT EXISTS ${column}`).join(',\n')};
DROP INDEX IF EXISTS ${within(`${table}_expires_at`)};
CREATE INDEX IF NOT EXISTS ${quoted(`${table}_prune_from`)} ON ${this.name} (prune_from);`
  }

  /** `migration`: a connection with a longer time limit, or null: the table is only checked. */
  async prepare (connection: Connection, migration: Connection | null): Promise<void> {
    let missing = await this.#missing(connection)
    if (missing === null) return
    if (migration !== null) {
      try {
        await migration.query(this.#guarded)
      } catch (error) {
        if ((error as { cause?: { code?: unknown } }).cause?.code !== INSUFFICIENT_PRIVILEGE) throw error
        throw new InvalidOptionError('table', `${missing}, and this role must not change that. Run this SQL as its owner:\n${this.sql}`)
      }
      missing = await this.#missing(connection)
    }
    if (missing !== null) throw new InvalidOptionError('table', `${missing}. Run this SQL first:\n${this.sql}`)
  }

  /**
   * Of processes that start at once, one does it: IF NOT EXISTS alone may fail then. Changing a table waits for everybody
   * who uses it, and all requests wait behind that, so it gives up soon: somebody may be at a long backup.
   */
  get #guarded (): string {
    return `BEGIN; SELECT pg_advisory_xact_lock(hashtext('fastify-locked-session')); SET LOCAL lock_timeout = '3s'; ${this.sql} COMMIT`
  }

  /** What can be added; null: nothing. Throws for a table that cannot become right. */
  async #missing (connection: Connection): Promise<string | null> {
    const found = new Map((await connection.query(FOUND, [this.name])).rows.map(row => [row.name as string, row]))
    if (found.size === 0) return 'names a table that does not exist'
    for (const [name, type] of Object.entries(TYPES)) {
      const column = found.get(name)
      if (column === undefined ? name in ORIGINAL : column.type !== type) {
        throw new InvalidOptionError('table', `names a table of something else: its column ${name} ${column === undefined ? 'is missing' : `has the type ${column.type as string}, not ${type}`}`)
      }
    }
    if (found.get('key')?.is_unique !== true) throw new InvalidOptionError('table', 'names a table whose column key is not unique; give it a primary key')
    const columns = Object.keys(ADDED).filter(name => !found.has(name))
    if (columns.length > 0) return `names a table without the columns ${columns.join(', ')}`
    return found.get('prune_from')?.indexed === true ? null : 'names a table without an index on prune_from'
  }
}
