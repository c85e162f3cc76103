// Names of tables in SQL. They cannot be parameters there, so they are checked and quoted.
import type { Check } from '../../options/check.js'

/** PostgreSQL cuts longer names off; the index has the table's name and an ending. */
const LONGEST = 48

export const sqlName: Check = (value) =>
  typeof value === 'string' && /^[A-Za-z_][A-Za-z0-9_]*$/.test(value) && value.length <= LONGEST
    ? null
    : `must be a name of letters, digits and _, at most ${LONGEST} long`

export function quoted (...names: string[]): string {
  return names.map(name => `"${name}"`).join('.')
}
