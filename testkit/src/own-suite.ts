// A suite that a test starts with `npm run up`, apart from all others: its directory and ports, as an environment.
import { freePortsInARow } from './servers/free-ports.ts'

/** The producer's port and the admin ports, with room for more services. */
const PORTS = 10

/** For `npm run up` in `directory`, on private servers. Two runs of jest at the same time get different ports. */
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
