// Looks at every session, on every master of a cluster.
import type { PruneResult, SessionRecord } from '../../../types/store.js'
import { type Connection, escapeGlob } from './connection.js'
import { parseRecord } from './record-text.js'
import type { SessionScripts } from './session-scripts.js'

export class AllSessions {
  constructor (private readonly connection: Connection, private readonly scripts: SessionScripts, private readonly prefix: string) {}

  async * entries (): AsyncGenerator<[string, SessionRecord]> {
    for await (const keys of this.#keys()) {
      const answers = await Promise.all(keys.map(async key => await this.scripts.run('read', key, '', this.scripts.maxSize) as [number, Buffer]))
      for (const [index, answer] of answers.entries()) {
        const record = answer[0] === 1 ? parseRecord(answer[1])?.record : undefined
        if (record !== undefined) yield [keys[index]!, record]
      }
    }
  }

  /** Counts the live ones; with `remove`, deletes the others, and those not used since `idleSince`. */
  async sweep (idleSince: number, remove: boolean): Promise<PruneResult> {
    const limit = String(Math.max(-1e15, Math.min(idleSince, 1e15)))
    const result = { deleted: 0, remaining: 0 }
    for await (const keys of this.#keys()) {
      const answers = await Promise.all(keys.map(async key => await this.scripts.run('sweep', key, '', limit, remove ? '1' : '0')))
      for (const answer of answers) {
        if (answer === 1) result.remaining++
        else if (answer === 2) result.deleted++
      }
    }
    return result
  }

  /** Each key once. Remembers all of them meanwhile: SCAN may repeat itself. */
  async * #keys (): AsyncGenerator<string[]> {
    const seen = new Set<string>()
    const pages = this.connection.scan(`${escapeGlob(this.prefix)}{*}`)[Symbol.asyncIterator]()
    for (;;) {
      const page = await this.scripts.bounded(pages.next())
      if (page.done === true) return
      const keys = page.value.map(name => name.slice(this.prefix.length + 1, -1)).filter(key => !seen.has(key))
      for (const key of keys) seen.add(key)
      yield [...new Set(keys)]
    }
  }
}
