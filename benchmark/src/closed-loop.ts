// A load generator with a fixed number of connections, in its own process. Each connection sends its next request after the
// response to the previous one. The argument has the options as JSON. Prints the requests per second as JSON.
import autocannon from 'autocannon'
import { z } from 'zod'

const options = z
  .object({ url: z.string(), connections: z.int(), durationS: z.number(), body: z.string().optional() })
  .parse(JSON.parse(process.argv[2] ?? ''))
const result = await autocannon({
  url: options.url,
  connections: options.connections,
  duration: options.durationS,
  ...(options.body === undefined
    ? {}
    : { method: 'POST' as const, body: options.body, headers: { 'content-type': 'application/json' } }),
})
if (result.non2xx + result.errors > 0)
  throw new Error(`${result.non2xx} responses were not 2xx, ${result.errors} errors`)
process.stdout.write(`${JSON.stringify({ perSecond: result.requests.average, requests: result.requests.total })}\n`)
