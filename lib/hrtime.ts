/** In ms, by process.hrtime(). Unlike performance.now() it is the same in all processes of a host. */
export function hrtime (): number {
  return Number(process.hrtime.bigint()) / 1e6
}
