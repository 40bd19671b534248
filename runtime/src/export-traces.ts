// Exports traces by OTLP/HTTP (JSON). The SDK is loaded only if an endpoint is configured. If the receiver is down, spans
// are lost and the service is not affected.
import { z } from 'zod'
import type { Owned } from './ownership.ts'
import { RepeatedLine } from './repeated-line.ts'
import type { Log } from './service.ts'
import { useTracer } from './traces.ts'

const EXPORT_TIMEOUT_MS = 5_000
/** The longest time that shutdown waits for the last spans. */
const FLUSH_TIMEOUT_MS = 2_000
const EXPORT_EVERY_MS = 1_000
const LOGGED_EVERY_MS = 60_000
const ATTRIBUTE_MAX_LENGTH = 1_024

export const tracesEnvironment = z
  .object({
    OTEL_EXPORTER_OTLP_ENDPOINT: z
      .url({ protocol: /^https?$/, error: 'must be a URL such as http://jaeger:4318' })
      .optional()
      .describe('base URL of the OTLP/HTTP receiver of traces; not set: no traces are exported'),
    OTEL_TRACES_SAMPLER_ARG: z.coerce
      .number()
      .min(0)
      .max(1)
      .default(1)
      .describe(
        "share of new traces that is exported, 0 to 1; a trace that a client started keeps the client's sampling decision",
      ),
  })
  .transform((v) => ({ endpoint: v.OTEL_EXPORTER_OTLP_ENDPOINT, sampledPart: v.OTEL_TRACES_SAMPLER_ARG }))

/** Starts the export. `close` sends the last spans and ends it. Resolves with undefined if no endpoint is configured. */
export async function exportTraces(
  name: string,
  { endpoint, sampledPart }: z.output<typeof tracesEnvironment>,
  log: Log,
): Promise<Owned | undefined> {
  if (endpoint === undefined) return undefined
  const [sdk, { OTLPTraceExporter }, { resourceFromAttributes }, { W3CTraceContextPropagator }] = await Promise.all([
    import('@opentelemetry/sdk-trace'),
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('@opentelemetry/resources'),
    import('@opentelemetry/core'),
  ])
  const url = `${endpoint.replace(/\/+$/, '')}/v1/traces`
  const exporter = new OTLPTraceExporter({ url, timeoutMillis: EXPORT_TIMEOUT_MS })
  const line = new RepeatedLine(LOGGED_EVERY_MS)
  const send = exporter.export.bind(exporter)
  // Logs failed exports, because the SDK logs nothing when the receiver rejects spans.
  exporter.export = (spans, done) =>
    send(spans, (result) => {
      const lines = result.error && line.due('failed')
      if (lines !== undefined) log.warn({ lines, error: result.error?.message }, `traces could not be sent to ${url}`)
      done(result)
    })
  const provider = new sdk.TracerProvider({
    resource: resourceFromAttributes({ 'service.name': name, 'service.namespace': 'ims' }),
    sampler: new sdk.ParentBasedSampler({ root: new sdk.TraceIdRatioBasedSampler(sampledPart) }),
    spanLimits: { attributeValueLengthLimit: ATTRIBUTE_MAX_LENGTH },
    spanProcessors: [
      new sdk.BatchSpanProcessor({
        exporter,
        scheduledDelayMillis: EXPORT_EVERY_MS,
        exportTimeoutMillis: EXPORT_TIMEOUT_MS,
      }),
    ],
  })
  useTracer(provider.getTracer('ims'), new W3CTraceContextPropagator())
  log.info({ url, sampledPart }, 'exporting traces')
  return {
    close: async () => {
      useTracer(undefined)
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, FLUSH_TIMEOUT_MS)
      })
      // A rejection means that the last spans could not be sent. That has already been logged.
      await Promise.race([provider.shutdown().catch(() => {}), late]).finally(() => clearTimeout(timer))
    },
  }
}
