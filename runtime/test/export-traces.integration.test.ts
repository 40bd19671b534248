// The export of traces to a receiver that rejects every request.
import { createServer } from 'node:http'
import { afterAll, beforeAll, expect, it } from '@jest/globals'
import { eventually } from 'testkit'
import { z } from 'zod'
import { exportTraces } from '../src/export-traces.ts'
import { tracer } from '../src/traces.ts'

let requests = 0
// The exporter does not retry a request after status 400.
const rejecting = createServer((_, response) => {
  requests += 1
  response.writeHead(400).end()
})
beforeAll(() => new Promise<void>((resolve) => rejecting.listen(0, '127.0.0.1', resolve)))
afterAll(() => {
  rejecting.closeAllConnections()
  rejecting.close()
})

it('the export of traces logs one line for several failures, and removes the tracer when it closes', async () => {
  const warnings: string[] = []
  const log = { debug() {}, info() {}, error() {}, warn: (_: object, line: string) => void warnings.push(line) }
  const { port } = z.object({ port: z.int() }).parse(rejecting.address())
  const exporting = await exportTraces('test', { endpoint: `http://127.0.0.1:${port}`, sampledPart: 1 }, log)
  await eventually(() => {
    tracer()?.startSpan('x').end()
    expect(requests).toBeGreaterThan(2)
  })
  await exporting?.close()
  expect(warnings).toEqual([`traces could not be sent to http://127.0.0.1:${port}/v1/traces`])
  expect(tracer()).toBeUndefined()
})
