// Without a cluster, `npm run test:cluster` rejects with one sentence that says what is missing.
import { describe, expect, it } from '@jest/globals'
import { clusterVersion } from '../src/runs/test-cluster.ts'
import { ServersUnavailable } from '../src/servers/servers.ts'

describe('test:cluster', () => {
  it('asks for KUBECONFIG when it is not set', async () => {
    await expect(clusterVersion({})).rejects.toThrow(
      new ServersUnavailable('KUBECONFIG is not set: it must name the file with the address of the cluster'),
    )
  })

  it('names the file in KUBECONFIG when it does not exist', async () => {
    await expect(clusterVersion({ KUBECONFIG: '/nowhere/config' })).rejects.toThrow(
      new ServersUnavailable('KUBECONFIG: there is no file /nowhere/config'),
    )
  })
})
