// Steps of the cluster test. Each is a test, and prints one line on the terminal as soon as it ends.
import { it } from '@jest/globals'

/** What a step reports. `isLess` when the cluster did not allow all of it. */
export interface Reported {
  readonly detail: string
  readonly isLess?: boolean
}

/** A step that all later ones depend on. When it fails, they do not run. */
const NEEDED = { isNeeded: true }
let missing: string | undefined

/** Declares a step. The value it resolves with is printed at the end of its line. */
export function step(
  name: string,
  minutes: number,
  body: () => Promise<string | Reported>,
  { isNeeded }: { isNeeded: boolean } = { isNeeded: false },
): void {
  it(
    name,
    async () => {
      if (missing !== undefined) throw new Error(`not tried, since this failed: ${missing}`)
      const began = performance.now()
      const took = () => `(${((performance.now() - began) / 1_000).toFixed(1)} s)`
      try {
        const reported = await body()
        const { detail, isLess = false } = typeof reported === 'string' ? { detail: reported } : reported
        say(`${isLess ? '!' : '✓'} ${name}: ${detail} ${took()}`)
      } catch (error) {
        if (isNeeded) missing = name
        say(`✗ ${name} ${took()}\n${indented(error instanceof Error ? error.message : String(error))}`)
        throw error
      }
    },
    minutes * 60_000,
  )
}

/** A step that the later ones depend on. */
export function neededStep(name: string, minutes: number, body: () => Promise<string | Reported>): void {
  step(name, minutes, body, NEEDED)
}

export const say = (line: string): void => {
  process.stderr.write(`${line}\n`)
}

const indented = (text: string): string => text.replace(/^/gm, '    ')
