// Sends one kind of statement for one session or for many.
import type { Reaction } from '../../time-limit.js'
import type { Sender } from '../batcher.js'
import type { Bulk, RowValues } from './bulk.js'
import type { Connection, Row } from './connection.js'

/** Of a session's data, in bytes. */
const LARGE = 8192
/** Of the PostgreSQL error codes; those of Node.js have no digits. */
const SQLSTATE = /^(?=.*\d)[0-9A-Z]{5}$/
const CHANGED: Row = {}

/** Answers with null when there is no row, or none was changed. */
export class RowSender implements Sender<RowValues, Row | null> {
  /** The server works on several at once. A save waits for its disk. */
  readonly lanes = 4

  constructor (private readonly connection: Connection, private readonly bulk: Bulk) {}

  one<R> (values: RowValues, reaction: Reaction<Row | null, R>): Promise<R> {
    return this.connection.query(this.bulk.one, values.slice(0, this.bulk.takes), {
      done: ({ rows, rowCount }) => {
        const row = rowCount === 1 ? rows[0] ?? CHANGED : null
        return reaction.done === undefined ? row as R : reaction.done(row)
      },
      failed: () => reaction.failed?.()
    })
  }

  async many (items: RowValues[]): Promise<(Row | null | undefined)[]> {
    const columns = Array.from({ length: this.bulk.takes }, (_, i) => items.map(values => values[i]))
    try {
      const { rows } = await this.connection.query(this.bulk.many, columns)
      const answers: (Row | null)[] = items.map(() => null)
      for (const row of rows) answers[(row.n as number) - 1] = row
      return answers
    } catch (error) {
      if (isRefusal(error)) return items.map(() => undefined)
      throw error
    }
  }

  isLarge (values: RowValues): boolean {
    return values.some(value => Buffer.isBuffer(value) && value.length > LARGE)
  }
}

/** The server has said no, perhaps because of a single session, and nothing has changed. */
function isRefusal (error: unknown): boolean {
  return SQLSTATE.test(String(((error as Error).cause as { code?: unknown } | undefined)?.code))
}
