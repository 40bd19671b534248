// What every container of the suite must have: only the rights that it needs, resource requests, and a limit.
import { expect } from '@jest/globals'

/** For `toMatchObject`. */
export const LEAST_RIGHTS = {
  securityContext: {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'] },
  },
  resources: {
    requests: { cpu: expect.any(String), memory: expect.any(String) },
    limits: { memory: expect.any(String) },
  },
}
