// Each statement that one session needs in two forms: for one session, and for many at once.

/** A parameter of the statement, by its number and type; in `many` each is an array, with one element for each session. */
export type Parameter = (n: number, type: string) => string

export type RowValues = [key: string, ...others: unknown[]]

export interface Bulk {
  /** $1 = key. */
  one: string
  /** How many parameters they take. */
  takes: number
  /**
   * The same for the rows of these keys, each with its number `n` from 1 on. An update passes over rows that somebody else is
   * changing right now: they have to be asked for one by one. So one row never holds up the others, and two statements that
   * want the same rows never wait for each other.
   */
  many: string
}

/** `set` and `where` speak of columns; `key` is tested already. */
export function updateOf (table: string, parts: (p: Parameter) => { set: string, where: string, returning?: string }): Bulk {
  const [one, many, wanted, takes] = forms(parts)
  return {
    takes,
    one: `UPDATE ${table} SET ${one.set}
  WHERE key = $1 AND ${one.where} ${returning(one.returning)}`,
    many: `WITH ${wanted},
unlocked AS MATERIALIZED (SELECT w.*, tid FROM w CROSS JOIN LATERAL (
  SELECT ctid AS tid FROM ${table} WHERE key = w.p1 AND ${many.where} FOR UPDATE SKIP LOCKED) AS found)
UPDATE ${table} AS s SET ${many.set}
  FROM unlocked AS w WHERE s.ctid = w.tid AND s.key = w.p1
  ${returning('w.n', many.returning)}`
  }
}

export function selectOf (table: string, parts: (p: Parameter) => { columns: string, where: string }): Bulk {
  const [one, many, wanted, takes] = forms(parts)
  return {
    takes,
    one: `SELECT ${one.columns} FROM ${table} WHERE key = $1 AND ${one.where}`,
    many: `WITH ${wanted}
SELECT w.n, ${many.columns} FROM w JOIN ${table} ON key = w.p1 WHERE ${many.where}`
  }
}

function returning (...columns: (string | undefined)[]): string {
  const given = columns.filter(column => column !== undefined)
  return given.length === 0 ? '' : `RETURNING ${given.join(', ')}`
}

function forms<P> (parts: (p: Parameter) => P): [one: P, many: P, wanted: string, takes: number] {
  const types = ['text']
  const one = parts((n, type) => {
    types[n - 1] = type
    return `$${n}::${type}`
  })
  const many = parts((n) => `w.p${n}`)
  const arrays = types.map((type, i) => `$${i + 1}::${type}[]`).join(', ')
  const names = types.map((_type, i) => `p${i + 1}`).join(', ')
  return [one, many, `w AS MATERIALIZED (SELECT ${names}, n::int FROM unnest(${arrays}) WITH ORDINALITY AS w(${names}, n))`, types.length]
}
