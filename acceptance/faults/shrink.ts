// Searches for a smaller schedule that still fails (delta debugging, after Zeller and Hildebrandt). It starts no run itself.
export interface Shrunk<Failure> {
  /** The smallest schedule that failed, and its failure. Undefined if no smaller schedule failed. */
  readonly smallest: { readonly only: readonly number[]; readonly failure: Failure } | undefined
  readonly runs: number
}

export interface Shrinking<Failure> {
  /** The numbers of all faults of the run that failed. */
  readonly all: readonly number[]
  /** The faults close to the first message with a violation. */
  readonly suspects: readonly number[]
  /** Runs with only these faults. Resolves with the failure, or with undefined if the run did not fail in the same way. */
  again(only: readonly number[]): Promise<Failure | undefined>
  /** Returns true if another run may start after this number of runs. */
  mayRun(runs: number): boolean
}

/**
 * Tries no fault at all, then the suspects, then halves, quarters and so on, and also all faults except one of these parts.
 * A run that does not fail proves nothing, because a fault causes a violation only at the right moment. The result is
 * therefore small, but not necessarily the smallest.
 */
export async function shrink<Failure>({ all, suspects, again, mayRun }: Shrinking<Failure>): Promise<Shrunk<Failure>> {
  const tried = new Set<string>()
  let smallest: Shrunk<Failure>['smallest']
  let runs = 0
  const fails = async (only: readonly number[]): Promise<boolean> => {
    if (tried.has(only.join()) || !mayRun(runs)) return false
    tried.add(only.join())
    runs += 1
    const failure = await again(only)
    if (failure === undefined) return false
    smallest = { only, failure }
    return true
  }
  const failsAny = async (schedules: readonly (readonly number[])[]): Promise<boolean> => {
    for (const only of schedules) if (await fails(only)) return true
    return false
  }
  if (await fails([])) return { smallest, runs }
  if (suspects.length > 0) await fails(suspects)
  let left = smallest?.only ?? all
  for (let parts = Math.min(2, left.length); left.length > 1 && mayRun(runs); ) {
    const pieces = split(left, parts)
    const others = pieces.map((piece) => left.filter((number) => !piece.includes(number)))
    const isPiece = await failsAny(pieces)
    if (isPiece || (await failsAny(others))) {
      left = smallest?.only ?? all
      parts = isPiece ? 2 : Math.max(parts - 1, 2)
    } else if (parts < left.length) parts = Math.min(2 * parts, left.length)
    else break
  }
  return { smallest, runs }
}

function split(numbers: readonly number[], parts: number): number[][] {
  const size = Math.ceil(numbers.length / parts)
  return Array.from({ length: Math.ceil(numbers.length / size) }, (_, part) =>
    numbers.slice(part * size, (part + 1) * size),
  )
}
