// The progress of `up`, as steps that report events.
import { z } from 'zod'

const step = z.string()

/** An event of `up`. It has a schema because a suite in the background sends its events to another process. */
export const upEvent = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('begun'), step }),
  z.object({ kind: z.literal('detail'), step, text: z.string() }),
  z.object({ kind: z.literal('done'), step, text: z.string(), seconds: z.number() }),
  z.object({ kind: z.literal('failed'), step, why: z.string(), todo: z.string(), seconds: z.number() }),
  z.object({ kind: z.literal('note'), text: z.string() }),
  z.object({ kind: z.literal('log'), service: z.string(), text: z.string() }),
  z.object({ kind: z.literal('settled'), code: z.number() }),
])
export type UpEvent = z.infer<typeof upEvent>
export type Report = (event: UpEvent) => void

/** A step of `up` has failed. The message is the reason. `todo` says what the user can do. */
export class StepFailed extends Error {
  override readonly name: string = 'StepFailed'
  readonly todo: string
  constructor(why: string, todo: string, options?: ErrorOptions) {
    super(why, options)
    this.todo = todo
  }
}

/** A stop was requested during startup. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted'
}

const DEFAULT_TODO = 'Read the message above and the log files in .local/up/logs.'

/** Runs and reports a step. `work` returns the text that is shown after the name of the step. Errors of `work` are rethrown. */
export async function runStep<T>(
  report: Report,
  name: string,
  work: (detail: (text: string) => void) => Promise<{ text: string; value: T }>,
): Promise<T> {
  const begunAt = performance.now()
  const seconds = () => (performance.now() - begunAt) / 1000
  report({ kind: 'begun', step: name })
  try {
    const { text, value } = await work((detail) => report({ kind: 'detail', step: name, text: detail }))
    report({ kind: 'done', step: name, text, seconds: seconds() })
    return value
  } catch (error) {
    const why = error instanceof Interrupted ? 'interrupted' : error instanceof Error ? error.message : String(error)
    const todo = error instanceof StepFailed ? error.todo : error instanceof Interrupted ? '' : DEFAULT_TODO
    report({ kind: 'failed', step: name, why, todo, seconds: seconds() })
    throw error
  }
}
