// Without a cluster, `npm run test:cluster` prints one sentence that says what is missing, before it starts anything.
import { describe, expect, it } from '@jest/globals'
import { clusterVersion } from '../src/runs/test-cluster.ts'
import { ServersUnavailable } from '../src/servers/servers.ts'

describe('test:cluster', () => {
  it('asks for KUBECONFIG when it is not set', async () => {
    await expect(clusterVersion({})).rejects.toThrow(
      new ServersUnavailable('KUBECONFIG is not set: it names the file that says where the cluster is'),
    )
  })

  it('names the file in KUBECONFIG when it does not exist', async () => {
    await expect(clusterVersion({ KUBECONFIG: '/nowhere/config' })).rejects.toThrow(
      new ServersUnavailable('KUBECONFIG: there is no file /nowhere/config'),
    )
  })
})
