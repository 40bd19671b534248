// Repeatable random numbers: the seed determines all decisions of a run (mulberry32, public domain, by Tommy Ettinger).
export interface Random {
  /** At least 0, less than 1. */
  fraction(): number
  /** An integer from `min` to `max`, both included. */
  whole(min: number, max: number): number
  /** One of `choices`, which must not be empty. */
  pick<T>(choices: readonly T[]): T
  /** One of `choices`, with probabilities in proportion to the weights. */
  weighted<T extends { readonly weight: number }>(choices: readonly T[]): T
  /** An independent generator, so that the number of draws in one part does not affect another part. */
  fork(): Random
}

/** The generator for a seed. */
export function randomOf(seed: number): Random {
  let state = seed >>> 0
  const fraction = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const whole = (min: number, max: number) => min + Math.floor(fraction() * (max - min + 1))
  return {
    fraction,
    whole,
    pick: (choices) => at(choices, whole(0, choices.length - 1)),
    weighted: (choices) => {
      let left = fraction() * choices.reduce((sum, { weight }) => sum + weight, 0)
      for (const choice of choices) {
        left -= choice.weight
        if (left < 0) return choice
      }
      return at(choices, choices.length - 1)
    },
    fork: () => randomOf(whole(0, 2 ** 32 - 1)),
  }
}

function at<T>(choices: readonly T[], index: number): T {
  const choice = choices[index]
  if (choice === undefined) throw new Error('nothing to choose from')
  return choice
}
