// The Redis store across processes, and when the server fails. It keeps what it has acknowledged: appendfsync always.
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t from 'tap'
import { skipWithout, startRedis } from './helpers/local-services.js'
import { assertNothingLost, during, outages } from './helpers/network-outages.js'
import { processFaults } from './helpers/network-processes.js'
import { NetworkScene } from './helpers/network-scene.js'
import { turnCases } from './helpers/network-turns.js'

const lease = 2000
/** The default. */
const claim = 1500

t.test('the Redis store stands faults', { skip: skipWithout('redis-server') }, async (t) => {
  const scene = await NetworkScene.begin(t, { backend: 'redis', startService: async t => await startRedis(t), options: { lease } })
  const admin = async (...commands: string[][]) => {
    const client = new Redis({ host: '127.0.0.1', port: scene.service.port })
    const answers = []
    for (const [name, ...args] of commands) answers.push(await client.call(name!, ...args))
    client.disconnect()
    return answers
  }

  turnCases(t, scene, { cost: 3.5 })
  processFaults(t, scene, { lease, claim })

  t.test('scripts that the server forgets under traffic are sent again: every request is answered, and no update is lost', async (t) => {
    const { cookie, answers } = await during(scene, async () => {
      for (let i = 0; i < 10; i++) {
        await admin(['SCRIPT', 'FLUSH'])
        await sleep(50)
      }
    })
    t.ok(answers.every(({ status }) => status === 200))
    await assertNothingLost(t, scene, cookie, answers)
  })

  outages(t, scene, {
    durable: true,
    // Those that subscribe, too.
    cut: async () => (await admin(...['normal', 'pubsub'].map(type => ['CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes'])))
      .reduce<number>((sum, count) => sum + Number(count), 0)
  })
})
