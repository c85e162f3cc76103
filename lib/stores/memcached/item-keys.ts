// The items of one session. All are on one server, so that one packet can carry commands for several of them.
export interface ItemKeys {
  /** The session. */
  readonly data: string
  /** There while somebody holds the lock. */
  readonly lock: string
  /** There while another process waits: who, and how often it asks. */
  readonly wait: string
  /** There for a while after the session was replaced by another: which. */
  readonly moved: string
}

export function itemKeys (prefix: string, key: string): ItemKeys {
  return { data: `${prefix}data:${key}`, lock: `${prefix}lock:${key}`, wait: `${prefix}wait:${key}`, moved: `${prefix}moved:${key}` }
}
