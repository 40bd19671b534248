// The environment of a suite that a test starts with `npm run up`: a directory and ports that no other suite uses.
import { freePortsInARow } from './servers/free-ports.ts'

/** The producer's port, the admin ports, and spare ports for more services. */
const PORTS = 10

/** The environment of `npm run up` in `directory`, with private servers. Parallel runs of jest get different ports. */
export async function ownSuite(directory: string) {
  const first = await freePortsInARow(PORTS)
  return {
    PATH: process.env.PATH,
    HOME: process.env.HOME,
    IMS_SERVICES: 'local',
    IMS_UP_DIRECTORY: directory,
    PORT: String(first),
    ADMIN_PORT_BASE: String(first + 1),
  }
}
