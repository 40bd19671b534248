// The servers that `npm test` started for the tests, and a corner of them for one test file.
import { attachServers } from './servers/index.ts'
import type { Servers } from './servers/servers.ts'
import { type TestSpace, testSpace } from './servers/test-space.ts'

/** Attaches to the servers under test and makes a vhost and a database named after the test file; drop the space at the end. */
export async function serversUnderTest(name: string): Promise<{ servers: Servers; space: TestSpace }> {
  const directory = process.env.IMS_TEST_SERVERS
  if (!directory) throw new Error('IMS_TEST_SERVERS is not set: run these tests with `npm test`')
  const servers = await attachServers(directory)
  return { servers, space: await testSpace(servers, name) }
}
