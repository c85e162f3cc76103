// Session files that were just used, kept open: opening and closing cost as much as all the rest of a request.
// They are unlocked, so they hinder nobody. One that is deleted or replaced meanwhile shows it when it is locked again.

/** In the place of a file descriptor: the file is taken. */
const TAKEN = -1

export class IdleFiles {
  /** By key, in the order of their first use. A taken file keeps its place: moving entries costs more than it gains. */
  readonly #files = new Map<string, number>()
  #max: number

  constructor (max: number, private readonly close: (fd: number) => void) {
    this.#max = max
  }

  /** Hands over the open file, if there is one. Who takes it alone may use it. */
  take (key: string): number | undefined {
    const fd = this.#files.get(key)
    if (fd === undefined || fd === TAKEN) return undefined
    this.#files.set(key, TAKEN)
    return fd
  }

  put (key: string, fd: number): void {
    const other = this.take(key)
    if (other !== undefined) this.close(other)
    this.#files.set(key, fd)
    if (this.#files.size > this.#max) this.#closeOldest()
  }

  closeAll (): void {
    while (this.#files.size > 0) this.#closeOldest()
  }

  /** Nothing is kept open from now on. */
  end (): void {
    this.#max = 0
    this.closeAll()
  }

  #closeOldest (): void {
    const [key, fd] = this.#files.entries().next().value!
    this.#files.delete(key)
    if (fd !== TAKEN) this.close(fd)
  }
}
