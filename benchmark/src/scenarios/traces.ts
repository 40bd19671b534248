// The cost of traces in the producer: with traces off, without the trace code, and with every trace exported.
import { createServer } from 'node:http'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { leanNode } from 'testkit'
import { z } from 'zod'
import { endAll, httpHost, producer, type Scenario } from '../bench.ts'
import { ROOT } from '../processes.ts'
import { item } from '../stage.ts'
import { loaded } from './accept.ts'

const WITHOUT = 'no trace code'
const CONNECTIONS = 64

/** The trace calls that a request reaches, and the code that replaces them. */
export const TRACE_CODE = [
  {
    file: 'messaging/src/outgoing/publisher.ts',
    find: `traceSending(envelope, undefined, (traced) =>
        this.#offer(traced, { messageId }, undefined, this.#slowness(contract.queue) ?? this.#refusal(traced)),
      )`,
    replace:
      'this.#offer(envelope, { messageId }, undefined, this.#slowness(contract.queue) ?? this.#refusal(envelope))',
  },
  {
    file: 'producer/src/http/access-log.ts',
    find: 'const span = startRequestSpan(request, method, route, requestId)',
    replace: 'const span = undefined',
  },
]

const withoutTraceCode = {
  NODE_OPTIONS: `${leanNode.NODE_OPTIONS} --import=${pathToFileURL(join(ROOT, 'acceptance/faults/mutate.mjs'))}`,
  // Disables the compile cache, so that other processes never load code that was compiled from the changed source.
  NODE_COMPILE_CACHE: '',
  IMS_MUTATION: JSON.stringify(
    TRACE_CODE.map(({ file, ...edit }) => ({ url: pathToFileURL(join(ROOT, file)).href, edits: [edit] })),
  ),
}

export const traces: Scenario = {
  name: 'traces',
  about: `POST /create_item at ${CONNECTIONS} connections: traces off, without their code, and exported`,
  async measure(bench) {
    const [ours] = bench.stages
    const receiver = createServer((request, response) => request.resume().once('end', () => response.end('{}')))
    await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve))
    const { port } = z.object({ port: z.int() }).parse(receiver.address())
    const exported = { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}` }
    const hosts = await Promise.all([
      httpHost(ours, ours.name, producer(ours)),
      httpHost(ours, WITHOUT, producer(ours, withoutTraceCode)),
      httpHost(ours, 'traces exported', producer(ours, exported)),
    ])
    const row = await loaded(bench, hosts, {
      what: `accept with traces off, ${CONNECTIONS} connections`,
      path: '/create_item',
      connections: CONNECTIONS,
      goals: [{ against: WITHOUT, min: 0.97 }],
      body: item(1),
    })
    for (const { running } of hosts) await endAll(running)
    receiver.close()
    return [{ ...row, scenario: 'traces' }]
  },
}
