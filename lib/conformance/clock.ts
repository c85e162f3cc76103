/**
 * A clock that stands still until it is moved. It begins at the present, because the server of a store has a clock of
 * its own, and what has expired there is gone, whatever this clock says.
 */
export class FakeClock {
  #time = Date.now()
  readonly now = (): number => this.#time

  advance (ms: number): void {
    this.#time += ms
  }
}
