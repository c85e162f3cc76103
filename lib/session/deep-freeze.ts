/** Freezes a value and everything in it, however deep. Typed arrays cannot be frozen and stay as they are. */
export function deepFreeze<T> (value: T): T {
  const pending: unknown[] = [value]
  while (pending.length > 0) {
    const one = pending.pop()
    if (typeof one !== 'object' || one === null || Object.isFrozen(one) || ArrayBuffer.isView(one)) continue
    Object.freeze(one)
    for (const inner of Object.values(one)) pending.push(inner)
  }
  return value
}
