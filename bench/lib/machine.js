import { cpus, release, type } from 'node:os'

export function machine () {
  const cores = cpus()
  return `${cores[0].model.trim()}, ${cores.length} cores, ${type()} ${release()}, Node.js ${process.version}`
}
