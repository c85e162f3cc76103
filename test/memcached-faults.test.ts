// The memcached store across processes, and when the server fails: everything in it is gone then.
import t from 'tap'
import { skipWithout, startMemcached } from './helpers/local-services.js'
import { outages } from './helpers/network-outages.js'
import { processFaults } from './helpers/network-processes.js'
import { NetworkScene } from './helpers/network-scene.js'
import { turnCases } from './helpers/network-turns.js'
import { TcpProxy } from './helpers/tcp-proxy.js'

const lease = 3000

t.test('the memcached store stands faults', { skip: skipWithout('memcached') }, async (t) => {
  let proxy!: TcpProxy
  const scene = await NetworkScene.begin(t, {
    backend: 'memcached',
    startService: async t => await startMemcached(t),
    async connectTo (t, { port }) {
      proxy = await TcpProxy.start(t, port)
      return proxy.port
    },
    options: { lease }
  })
  // Those who wait ask again and again.
  turnCases(t, scene, { cost: Infinity })
  processFaults(t, scene, { lease, claim: 0 })
  outages(t, scene, { durable: false, cut: async () => proxy.cut() })
})
