import { fork } from 'node:child_process'
import { machine } from './lib/machine.js'
import { table } from './lib/table.js'

const BENCHMARKS = ['http', 'compat', 'file-cycle', 'hand-over', 'fairness', 'prune', 'heap', 'redis', 'postgres']

/** Each benchmark has a process of its own, so that none runs on code another one has warmed up. */
function run (name, argument) {
  return new Promise((resolve, reject) => {
    const child = fork(new URL(`./${name}.js`, import.meta.url), argument === undefined ? [] : [argument])
    let rows
    child.on('message', (message) => { rows = message })
    child.on('exit', (code) => {
      if (rows === undefined) reject(new Error(`${name} ended with ${code} and no result`))
      else resolve(rows)
    })
  })
}

const asked = process.argv.length > 2 ? process.argv.slice(2) : BENCHMARKS
const chosen = asked.map((item) => item.split('='))
const unknown = chosen.find(([name]) => !BENCHMARKS.includes(name))
if (unknown !== undefined) {
  console.error(`unknown benchmark ${unknown[0]}; there are: ${BENCHMARKS.join(', ')}`)
  process.exit(2)
}

const rows = []
for (const [name, argument] of chosen) {
  console.log(`\n# ${name}`)
  try {
    rows.push(...await run(name, argument))
  } catch (error) {
    console.error(error)
    rows.push({ name: `${name}: did not finish` })
    process.exitCode = 1
  }
}

console.log(`\n${table(rows)}\n\n${machine()}`)
