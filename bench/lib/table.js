const COLUMNS = ['name', 'requests/s', 'CPU µs/request', 'lost', 'ratio', 'target', 'met']

function fixed (value, digits) {
  return typeof value === 'number' ? value.toFixed(digits) : value ?? ''
}

/**
 * One line of the final table. `check` is `{ ratio, atLeast }` or `{ ratio, atMost }`,
 * with `unit` where the ratio is not a plain number.
 */
function cells ({ name, requestsPerSecond, cpu, lost, check }) {
  const line = [name, fixed(requestsPerSecond, 0), fixed(cpu, 1), lost ?? '']
  if (check === undefined) return [...line, '', '', '']
  const { ratio, atLeast, atMost, unit = '' } = check
  const met = atLeast === undefined ? ratio <= atMost : ratio >= atLeast
  const target = atLeast === undefined ? `<= ${atMost}${unit}` : `>= ${atLeast}${unit}`
  return [...line, `${Number(ratio.toFixed(3))}${unit}`, target, met ? 'yes' : '**no**']
}

export function table (rows) {
  const lines = [COLUMNS, COLUMNS.map((_, index) => index === 0 ? '---' : '---:'), ...rows.map(cells)]
  return lines.map((line) => `| ${line.join(' | ')} |`).join('\n')
}
