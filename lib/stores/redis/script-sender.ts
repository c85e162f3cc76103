// Runs one kind of script, for one session or for many.
import type { Reaction, TimeLimit } from '../../time-limit.js'
import type { Sender } from '../batcher.js'
import type { Argument, Connection } from './connection.js'
import type { Script } from './lua.js'

export interface Step {
  readonly key: string
  readonly args: Argument[]
}

/** All arguments of a step, in bytes or characters. The server does nothing else while it runs a script. */
const LARGE = 16 * 1024

export class ScriptSender implements Sender<Step, unknown> {
  /** The server works on one at a time; the other one is on its way. */
  lanes = 2

  constructor (private readonly connection: Connection, private readonly script: Script, private readonly limit: TimeLimit) {
    // The keys of one command have to be on one node.
    if (connection.cluster) this.lanes = Infinity
  }

  one<R> ({ key, args }: Step, reaction: Reaction<unknown, R>): Promise<R> {
    return this.#run(this.script.one, [key], args, reaction)
  }

  async many (steps: Step[]): Promise<unknown[]> {
    const args = steps.flatMap(({ args }) => [String(args.length), ...args])
    try {
      const answers = await this.#run(this.script.many, steps.map(({ key }) => key), args, {}) as unknown[]
      return answers.map(answer => answer ?? undefined)
    } catch (error) {
      if (!isCrossSlot(error)) throw error
      this.lanes = Infinity
      return steps.map(() => undefined)
    }
  }

  isLarge ({ args }: Step): boolean {
    return args.reduce((size, arg) => size + arg.length, 0) > LARGE
  }

  #run<R> ({ sha, text }: Script['one'], keys: string[], args: Argument[], reaction: Reaction<unknown, R>): Promise<R> {
    // The server forgets scripts at a restart, a failover and SCRIPT FLUSH; EVAL teaches it again.
    const again = (error: unknown) => isNoScript(error) ? this.connection.eval(text, keys, args) : undefined
    return this.limit.race(this.connection.evalSha(sha, keys, args), { again, ...reaction })
  }
}

function isNoScript (error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('NOSCRIPT')
}

/** There are clusters that look like a single server until they are sent two keys. */
function isCrossSlot (error: unknown): boolean {
  const { cause } = error as Error
  return cause instanceof Error && cause.message.startsWith('CROSSSLOT')
}
