// Stores for express-session that come without types.
declare module 'connect-pg-simple' {
  export default function connectPgSimple (session: unknown): new (options: object) => import('express-session').Store & { close (): Promise<void> }
}

declare module 'session-file-store' {
  export default function sessionFileStore (session: unknown): new (options: object) => import('express-session').Store
}
