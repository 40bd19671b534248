// Health check of a container: `node probe.ts` exits 0 when the service beside it is ready, else 1 and says why.
import { get } from 'node:http'

const ANSWERS_WITHIN_MS = 2_000

const request = get(
  { host: '127.0.0.1', port: process.env.ADMIN_PORT, path: '/readyz', agent: false, timeout: ANSWERS_WITHIN_MS },
  (response) => {
    response.pipe(process.stdout)
    process.exitCode = response.statusCode === 200 ? 0 : 1
  },
)
request.on('timeout', () => request.destroy(new Error(`no answer within ${ANSWERS_WITHIN_MS} ms`)))
request.on('error', ({ message }) => {
  process.stdout.write(`${message}\n`)
  process.exitCode = 1
})
