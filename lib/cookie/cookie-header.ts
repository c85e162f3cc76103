// Reading the Cookie header for the one case that a parsed object cannot show: a name that comes more than once.

/** A cookie name as RFC 6265 has it: a token. */
export function isValidName (name: string): boolean {
  return /^[\w!#$%&'*+\-.^`|~]+$/.test(name)
}

/** Whether `name=` may stand more than once in the header. False positives only cost a closer look. */
export function mayRepeat (header: string, nameAndEquals: string): boolean {
  const at = header.indexOf(nameAndEquals)
  return at !== -1 && header.indexOf(nameAndEquals, at + 1) !== -1
}

/** All values of one name, in the order of the header, undecoded. */
export function valuesOf (header: string, name: string): string[] {
  const values = []
  for (const pair of header.split(';')) {
    const at = pair.indexOf('=')
    if (at === -1 || pair.slice(0, at).trim() !== name) continue
    const value = pair.slice(at + 1).trim()
    values.push(value.startsWith('"') && value.endsWith('"') && value.length > 1 ? value.slice(1, -1) : value)
  }
  return values
}
