// The restrictions, resource requests and limits that every container of the suite must have.
import { expect } from '@jest/globals'

/** A pattern for `toMatchObject`. */
export const RESTRICTIONS = {
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
