import { withFolder } from './lib/folder.js'
import { handOver } from './lib/hand-over.js'
import { main } from './lib/main.js'

await main(() => withFolder(async (directory) => await handOver({ settings: { directory }, title: 'hand-over', atMost: 1.15 })))
