import { machine } from './machine.js'
import { table } from './table.js'

/** Runs a benchmark: under run.js its rows go to the parent, alone it prints its own table. */
export async function main (run) {
  const rows = await run(process.argv[2])
  if (process.send) {
    process.send(rows, () => process.exit())
  } else {
    console.log(`\n${table(rows)}\n\n${machine()}`)
    process.exit()
  }
}
