// The SQL. Each statement locks the row for its own duration, decides, writes and answers: no connection is held between.
// Who waits is in the row: [{ t: token, c: channel or null, u: until, in ms of the server's clock }], first come first.
import { type Bulk, type Parameter, selectOf, updateOf } from './bulk.js'

/**
 * One step for a session. `one` and `many` are enough as long as nobody else wants the session, cost the server a third, and
 * change no row if they are not enough; then `shared` decides. It takes the same parameters, and more.
 */
export interface Step extends Bulk {
  shared: string
}

export interface Statements {
  acquire: Step
  save: Step
  touch: Step
  leave: Step
  read: Bulk
  destroy: string
  extend: string
  describe: string
  create: string
  list: string
  count: string
  prune: string
  pruneIdle: string
}

const MS = '(extract(epoch FROM at) * 1000)::float8'
/** A lock that nobody keeps alive does not count. $now is the clock of the application, for expiry only. */
const HELD = '(lock_token IS NOT NULL AND lock_until > clock_timestamp())'
const live = (now: string) => `NOT moved AND (expires_at > ${now} OR ${HELD})`
const after = (start: string, ms: string) => `${start} + ${ms}::float8 * interval '1 millisecond'`
const dataUpTo = (limit: string) => `CASE WHEN octet_length(data) <= ${limit} THEN data END AS data`
const STORED = ['data', 'is_text', 'user_name', 'created_at', 'last_accessed_at', 'expires_at', 'version']
/** In one text, because each column of a result costs pg a microsecond. Without a user it ends before. Read by record.ts. */
const HEAD = "concat_ws(' ', version, is_text::int, created_at, last_accessed_at, expires_at, octet_length(data), 'u' || user_name)"
/** A lock needs no fsync: the save rule covers its loss. An empty text. */
const UNFLUSHED = "left(set_config('synchronous_commit', 'off', true), 0)"

export function statementsFor (table: string): Statements {
  /** The row as it is now; nobody else changes it until the end of the statement. $1 = key, $2 = token. */
  const found = `
WITH found AS MATERIALIZED (SELECT * FROM ${table} WHERE key = $1 FOR UPDATE),
timed AS MATERIALIZED (SELECT *, clock_timestamp() AS at FROM found)`

  /** Those who wait and have not given up, without the caller. */
  const others = `coalesce((SELECT jsonb_agg(w ORDER BY n) FROM jsonb_array_elements(waiters) WITH ORDINALITY AS q(w, n)
    WHERE (w->>'u')::float8 > ${MS} AND w->>'t' <> $2::text), '[]')`

  /** Up to 8000 bytes may be notified. A larger record is read by the one it is for. */
  const handOver = `(SELECT pg_notify(next->>'c', CASE WHEN octet_length(whole) < 7900 THEN whole ELSE small END)
    FROM (SELECT json_build_object('t', next->>'t', 'head', ${HEAD},
      'data', CASE WHEN octet_length(data) < 5500 THEN encode(data, 'base64') ELSE repeat(' ', 8000) END)::text AS whole,
      json_build_object('t', next->>'t')::text AS small) AS payload)`

  const allowed = (version: string) => `NOT moved AND (lock_token = $2::uuid OR ((lock_token IS NULL OR lock_until <= at) AND version = ${version}::uuid))`

  const mineAlone = (p: Parameter) => `lock_token = ${p(2, 'uuid')} AND NOT moved AND waiters = '[]'`

  /** Writes, and with `release` ($3) unlocks for the next one in one step. `shared` answers whether nobody waits, or null: the lock is lost. Columns from $4 on, then the loaded version and the claim. */
  const write = (types: Record<string, string>): Step => {
    const values = Object.fromEntries(Object.entries(types).map(([name, type], i) => [name, `$${i + 4}::${type}`]))
    const last = 3 + Object.keys(types).length
    return {
      ...updateOf(table, (p) => ({
        set: `${Object.entries(types).map(([name, type], i) => `${name} = ${p(i + 4, type)}`).join(', ')},
    lock_token = CASE WHEN NOT ${p(3, 'boolean')} THEN lock_token END, lock_until = CASE WHEN NOT ${p(3, 'boolean')} THEN lock_until END,
    holder = CASE WHEN NOT ${p(3, 'boolean')} THEN holder END`,
        where: mineAlone(p)
      })),
      shared: writeShared(values, `$${last + 1}`, `$${last + 2}`)
    }
  }

  const writeShared = (values: Record<string, string>, version: string, claim: string) => {
    const release = '$3::boolean'
    // A new version that is there already was written by this statement, when it was sent before.
    const repeated = values.version === undefined ? 'false' : `(version = ${values.version})`
    return `${found},
decided AS MATERIALIZED (
  SELECT key, at, ${STORED.map(name => `${values[name] ?? name} AS ${name}`).join(', ')},
    ${repeated} AS repeated, ${allowed(version)} AS allowed, ${release} AS release, ${others} AS queue,
    CASE WHEN ${release} THEN ${others}->0 END AS next
  FROM timed),
written AS (
  UPDATE ${table} AS s SET ${Object.keys(values).map(name => `${name} = d.${name}`).join(', ')},
    lock_token = CASE WHEN d.release THEN (d.next->>'t')::uuid ELSE s.lock_token END,
    lock_until = CASE WHEN d.release THEN ${after('d.at', claim)} ELSE s.lock_until END,
    holder = CASE WHEN d.release THEN NULL ELSE s.holder END,
    waiters = CASE WHEN NOT d.release THEN s.waiters WHEN d.next IS NULL THEN '[]' ELSE d.queue - 0 END
  FROM decided AS d WHERE s.key = d.key AND d.allowed AND NOT d.repeated)
SELECT CASE WHEN allowed OR repeated THEN queue = '[]' END AS alone, CASE WHEN allowed AND NOT repeated AND next->>'c' IS NOT NULL THEN ${handOver} END
FROM decided`
  }

  /** 500 at a time, so that nobody who wants one of the rows waits for long. */
  const pruned = (condition: string) => `WITH old AS MATERIALIZED (SELECT key FROM ${table} WHERE ${condition}
    AND NOT ${HELD} LIMIT 500 FOR UPDATE SKIP LOCKED),
gone AS (DELETE FROM ${table} AS s USING old WHERE s.key = old.key RETURNING s.moved)
SELECT count(*) AS rows, count(*) FILTER (WHERE NOT moved) AS n FROM gone`

  return {
    // $3 lease, $4 now, $5 largest record, $6 channel, $7 ms it waits at most, $8 claim
    acquire: {
      ...updateOf(table, (p) => ({
        set: `lock_token = ${p(2, 'uuid')}, lock_until = ${after('clock_timestamp()', p(3, 'float8'))}, holder = NULL`,
        where: `NOT moved AND expires_at > ${p(4, 'bigint')} AND waiters = '[]' AND (lock_token IS NULL OR lock_until <= clock_timestamp())`,
        returning: `${UNFLUSHED} || ${HEAD} AS head, ${dataUpTo(p(5, 'bigint'))}`
      })),
      shared: `${found},
queued AS MATERIALIZED (
  SELECT *, (lock_token IS NULL OR lock_until <= at) AS free, waiters @> jsonb_build_array(jsonb_build_object('t', $2::text)) AS known,
    coalesce((SELECT jsonb_agg(CASE WHEN w->>'t' = $2::text THEN w || jsonb_build_object('u', ${MS} + $7::float8) ELSE w END ORDER BY n)
      FROM jsonb_array_elements(waiters) WITH ORDINALITY AS q(w, n) WHERE (w->>'u')::float8 > ${MS} OR w->>'t' = $2::text), '[]')
    || CASE WHEN waiters @> jsonb_build_array(jsonb_build_object('t', $2::text)) THEN '[]'
      ELSE jsonb_build_array(jsonb_build_object('t', $2::text, 'c', $6::text, 'u', ${MS} + $7::float8)) END AS queue
  FROM timed),
decided AS MATERIALIZED (
  SELECT *, queue->0 AS next, CASE
    WHEN moved THEN CASE WHEN known THEN 'moved' ELSE 'none' END
    WHEN lock_token = $2::uuid THEN 'mine'
    WHEN NOT free THEN 'busy'
    WHEN expires_at <= $4::bigint THEN 'none'
    WHEN queue->0->>'t' = $2::text THEN 'granted'
    ELSE 'next' END AS outcome
  FROM queued),
written AS (
  UPDATE ${table} AS s SET
    lock_token = CASE d.outcome WHEN 'granted' THEN $2::uuid WHEN 'next' THEN (d.next->>'t')::uuid ELSE s.lock_token END,
    lock_until = CASE d.outcome WHEN 'busy' THEN s.lock_until WHEN 'next' THEN ${after('d.at', '$8')} ELSE ${after('d.at', '$3')} END,
    holder = CASE d.outcome WHEN 'busy' THEN s.holder END,
    waiters = CASE d.outcome WHEN 'busy' THEN d.queue WHEN 'mine' THEN s.waiters ELSE d.queue - 0 END
  FROM decided AS d WHERE s.key = d.key AND d.outcome IN ('mine', 'granted', 'next', 'busy'))
SELECT outcome, moved_to, holder, CASE outcome WHEN 'next' THEN $8::float8 ELSE (extract(epoch FROM lock_until - at) * 1000)::float8 END AS left_ms,
  ${UNFLUSHED} || ${HEAD} AS head, CASE WHEN outcome IN ('mine', 'granted') AND octet_length(data) <= $5::bigint THEN data END AS data,
  CASE WHEN outcome = 'next' AND next->>'c' IS NOT NULL THEN ${handOver} END
FROM decided`
    },

    save: write({ data: 'bytea', is_text: 'boolean', user_name: 'text', created_at: 'bigint', last_accessed_at: 'bigint', expires_at: 'bigint', version: 'uuid' }),
    touch: write({ last_accessed_at: 'bigint', expires_at: 'bigint' }),

    // Ends a lock, or a wait. $3 claim
    leave: {
      ...updateOf(table, (p) => ({ set: 'lock_token = NULL, lock_until = NULL, holder = NULL', where: mineAlone(p), returning: UNFLUSHED })),
      shared: `${found},
decided AS MATERIALIZED (
  SELECT *, lock_token = $2::uuid AS mine, ${others} AS queue, ${others}->0 AS next FROM timed
  WHERE NOT moved AND (lock_token = $2::uuid OR waiters @> jsonb_build_array(jsonb_build_object('t', $2::text)))),
written AS (
  UPDATE ${table} AS s SET
    lock_token = CASE WHEN d.mine THEN (d.next->>'t')::uuid ELSE s.lock_token END,
    lock_until = CASE WHEN d.mine THEN ${after('d.at', '$3')} ELSE s.lock_until END,
    holder = CASE WHEN d.mine THEN NULL ELSE s.holder END,
    waiters = CASE WHEN d.mine AND d.next IS NOT NULL THEN d.queue - 0 ELSE d.queue END
  FROM decided AS d WHERE s.key = d.key)
SELECT ${UNFLUSHED}, CASE WHEN mine AND next->>'c' IS NOT NULL THEN ${handOver} END FROM decided`
    },

    // Who waits finds the row as a signpost, for a minute; without anybody, or without movedTo, it goes at once.
    // $3 loaded version, $4 whether it has moved, $5 where to, $6 when the signpost goes
    destroy: `${found},
decided AS MATERIALIZED (SELECT key, ${allowed('$3')} AS allowed, ${others} AS queue, $4::boolean AND ${others} <> '[]' AS keep FROM timed),
deleted AS (DELETE FROM ${table} AS s USING decided AS d WHERE s.key = d.key AND d.allowed AND NOT d.keep),
kept AS (
  UPDATE ${table} AS s SET moved = true, moved_to = $5::text, data = '', user_name = NULL, lock_token = NULL, lock_until = NULL,
    waiters = d.queue, expires_at = $6::bigint
  FROM decided AS d WHERE s.key = d.key AND d.allowed AND d.keep)
SELECT CASE WHEN allowed THEN true END AS alone, CASE WHEN allowed THEN (SELECT count(pg_notify(w->>'c', json_build_object('t', w->>'t', 'ask', true)::text))
  FROM jsonb_array_elements(queue) AS w WHERE w->>'c' IS NOT NULL) END FROM decided`,

    extend: `UPDATE ${table} SET lock_until = ${after('clock_timestamp()', '$3')} WHERE key = $1 AND lock_token = $2::uuid
  RETURNING ${UNFLUSHED}`,
    describe: `UPDATE ${table} SET holder = $3::jsonb || jsonb_build_object('since', extract(epoch FROM clock_timestamp()) * 1000 - $4::float8)
  WHERE key = $1 AND lock_token = $2::uuid`,

    read: selectOf(table, (p) => ({ columns: `${HEAD} AS head, ${dataUpTo(p(3, 'bigint'))}`, where: live(p(2, 'bigint')) })),
    create: `INSERT INTO ${table} AS s (key, data, is_text, user_name, created_at, last_accessed_at, expires_at, version)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (key) DO UPDATE SET key = s.key WHERE s.version = EXCLUDED.version`,
    list: `SELECT key, ${HEAD} AS head, data FROM ${table}
  WHERE key > $1 AND ${live('$2::bigint')} AND octet_length(data) <= $3::bigint ORDER BY key LIMIT 100`,
    count: `SELECT count(*) AS n FROM ${table} WHERE ${live('$1::bigint')}`,
    // By the index, which knows the expiry only roughly. An OR with the other condition would read the whole table.
    prune: pruned('prune_from <= $1::bigint AND expires_at <= $1::bigint'),
    pruneIdle: pruned('NOT moved AND last_accessed_at < $1::float8')
  }
}
