// Gives a test file access to the servers that `npm test` started.
import { attachServers } from './servers/index.ts'
import type { Servers } from './servers/servers.ts'
import { type TestSpace, testSpace } from './servers/test-space.ts'

/** Attaches to the servers of the test run, and creates a test space with this name. The caller must drop the space at the end. */
export async function serversUnderTest(name: string): Promise<{ servers: Servers; space: TestSpace }> {
  const directory = process.env.IMS_TEST_SERVERS
  if (!directory) throw new Error('IMS_TEST_SERVERS is not set: run these tests with `npm test`')
  const servers = await attachServers(directory)
  return { servers, space: await testSpace(servers, name) }
}
