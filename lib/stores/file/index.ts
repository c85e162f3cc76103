// The entry point fastify-locked-session/file.
export { FileStore, type FileStoreOptions } from './file-store.js'
