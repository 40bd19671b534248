// Health check of a container. `node probe.ts` exits with 0 when the service in the container is ready. Otherwise it
// prints the reason and exits with 1.
import { get } from 'node:http'

const RESPONDS_WITHIN_MS = 2_000

const request = get(
  { host: '127.0.0.1', port: process.env.ADMIN_PORT, path: '/readyz', agent: false, timeout: RESPONDS_WITHIN_MS },
  (response) => {
    response.pipe(process.stdout)
    process.exitCode = response.statusCode === 200 ? 0 : 1
  },
)
request.on('timeout', () => request.destroy(new Error(`no response within ${RESPONDS_WITHIN_MS} ms`)))
request.on('error', ({ message }) => {
  process.stdout.write(`${message}\n`)
  process.exitCode = 1
})
