export { CookieStore, type CookieStoreOptions } from './cookie-store.js'
