export function sorted (values) {
  return [...values].sort((a, b) => a - b)
}

export function percentile (values, share) {
  const ordered = sorted(values)
  return ordered[Math.min(ordered.length - 1, Math.floor(ordered.length * share))]
}

export function median (values) {
  const ordered = sorted(values)
  const middle = ordered.length >> 1
  return ordered.length % 2 === 1 ? ordered[middle] : (ordered[middle - 1] + ordered[middle]) / 2
}

export function sum (values) {
  return values.reduce((total, value) => total + value, 0)
}

export function mean (values) {
  return sum(values) / values.length
}

/** Smallest and largest, for the line that shows how steady the rounds were. */
export function spread (values, digits = 1) {
  return `${Math.min(...values).toFixed(digits)}-${Math.max(...values).toFixed(digits)}`
}
