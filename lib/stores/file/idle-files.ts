// Session files that were just used, kept open: opening and closing cost as much as all the rest of a request.
// They are unlocked, so they hinder nobody. One that is deleted or replaced meanwhile shows it when it is locked again.

export class IdleFiles {
  /** By path, in the order of use. */
  readonly #files = new Map<string, number>()

  #closed = false

  constructor (private readonly max: number, private readonly close: (fd: number) => void) {}

  /** Hands over the open file, if there is one. Who takes it alone may use it. */
  take (path: string): number | undefined {
    const fd = this.#files.get(path)
    if (fd !== undefined) this.#files.delete(path)
    return fd
  }

  put (path: string, fd: number): void {
    const other = this.take(path)
    if (other !== undefined) this.close(other)
    this.#files.set(path, fd)
    if (this.#files.size > (this.#closed ? 0 : this.max)) this.#closeOldest()
  }

  closeAll (): void {
    while (this.#files.size > 0) this.#closeOldest()
  }

  /** Nothing is kept open from now on. */
  end (): void {
    this.#closed = true
    this.closeAll()
  }

  #closeOldest (): void {
    const [path, fd] = this.#files.entries().next().value!
    this.#files.delete(path)
    this.close(fd)
  }
}
