// Steps of the cluster test: each is a test, and one line on the terminal as soon as it is over.
import { it } from '@jest/globals'

/** What a step has to tell; `isLess` when the cluster did not let it do all it is for. */
export interface Told {
  readonly detail: string
  readonly isLess?: boolean
}

/** A step that all later ones build on: when it fails, they are not tried. */
const NEEDED = { isNeeded: true }
let missing: string | undefined

/** Declares a step. What it resolves with stands at the end of its line. */
export function step(
  name: string,
  minutes: number,
  body: () => Promise<string | Told>,
  { isNeeded }: { isNeeded: boolean } = { isNeeded: false },
): void {
  it(
    name,
    async () => {
      if (missing !== undefined) throw new Error(`not tried, since this failed: ${missing}`)
      const began = performance.now()
      const took = () => `(${((performance.now() - began) / 1_000).toFixed(1)} s)`
      try {
        const told = await body()
        const { detail, isLess = false } = typeof told === 'string' ? { detail: told } : told
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

/** A step without which the later ones make no sense. */
export function neededStep(name: string, minutes: number, body: () => Promise<string | Told>): void {
  step(name, minutes, body, NEEDED)
}

export const say = (line: string): void => {
  process.stderr.write(`${line}\n`)
}

const indented = (text: string): string => text.replace(/^/gm, '    ')
