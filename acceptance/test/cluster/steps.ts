// Steps of the cluster test. Each is a test, and prints one line on the terminal as soon as it ends.
import { it } from '@jest/globals'

/** The result of a step. `isPartial` is true if the cluster did not support the whole check. */
export interface Reported {
  readonly detail: string
  readonly isPartial?: boolean
}

/** The option of a step that all later steps depend on. If the step fails, they do not run. */
const NEEDED = { isNeeded: true }
let missing: string | undefined

/** Declares a step. The line that it prints contains the value that `body` resolves with. */
export function step(
  name: string,
  minutes: number,
  body: () => Promise<string | Reported>,
  { isNeeded }: { isNeeded: boolean } = { isNeeded: false },
): void {
  it(
    name,
    async () => {
      if (missing !== undefined) throw new Error(`not run, because this step failed: ${missing}`)
      const began = performance.now()
      const took = () => `(${((performance.now() - began) / 1_000).toFixed(1)} s)`
      try {
        const reported = await body()
        const { detail, isPartial = false } = typeof reported === 'string' ? { detail: reported } : reported
        say(`${isPartial ? '!' : '✓'} ${name}: ${detail} ${took()}`)
      } catch (error) {
        if (isNeeded) missing = name
        say(`✗ ${name} ${took()}\n${indented(error instanceof Error ? error.message : String(error))}`)
        throw error
      }
    },
    minutes * 60_000,
  )
}

/** Declares a step that all later steps depend on. */
export function neededStep(name: string, minutes: number, body: () => Promise<string | Reported>): void {
  step(name, minutes, body, NEEDED)
}

export const say = (line: string): void => {
  process.stderr.write(`${line}\n`)
}

const indented = (text: string): string => text.replace(/^/gm, '    ')
