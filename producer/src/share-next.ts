// Lets identical questions that wait at the same time share one answer: of a question yet to be asked, never of one under way.

/** Longest time that a question waits for company, in milliseconds, when the one under way takes longer. */
const GATHER_MOST_MS = 10

interface Lane<Answer> {
  /** Resolves when the question under way is answered, or has failed. */
  readonly settled: Promise<void>
  /** The question that is to be asked next, for all who have come since. */
  next: Joint<Answer> | undefined
}

/** A question of several. `left` aborts when all of them have left. */
class Joint<Answer> {
  readonly #left = new AbortController()
  readonly answer: Promise<Answer>
  #waiting = 0

  constructor(ask: (left: AbortSignal) => Promise<Answer>) {
    this.answer = ask(this.#left.signal)
  }

  join(signal: AbortSignal | undefined): Promise<Answer> {
    this.#waiting += 1
    signal?.addEventListener('abort', () => {
      this.#waiting -= 1
      if (this.#waiting === 0) this.#left.abort()
    })
    return this.answer
  }
}

/**
 * Makes of `ask` a function that asks once for all who bring the same question (by `keyOf`) while one like it is under
 * way. Nobody gets an answer to a question that was asked before theirs came: it may be older than what they know. A
 * lone question is asked at once; one that finds another under way waits for it, for 10 ms at most. The signal that `ask`
 * gets aborts when the signals of all who wait have.
 */
export function shareNext<Question, Answer>(
  ask: (question: Question, left: AbortSignal) => Promise<Answer>,
  keyOf: (question: Question) => string,
): (question: Question, signal?: AbortSignal) => Promise<Answer> {
  const lanes = new Map<string, Lane<Answer>>()

  const begin = (key: string, question: Question, left: AbortSignal): Promise<Answer> => {
    const answer = ask(question, left)
    const settled = answer.then(
      () => {},
      () => {},
    )
    const lane: Lane<Answer> = { settled, next: undefined }
    lanes.set(key, lane)
    void settled.then(() => {
      if (lanes.get(key) === lane && lane.next === undefined) lanes.delete(key)
    })
    return answer
  }

  return (question, signal) => {
    const key = keyOf(question)
    const lane = lanes.get(key)
    if (lane === undefined) return new Joint((left) => begin(key, question, left)).join(signal)
    lane.next ??= new Joint(async (left) => {
      await settledOr(lane.settled, GATHER_MOST_MS)
      return await begin(key, question, left)
    })
    return lane.next.join(signal)
  }
}

function settledOr(settled: Promise<void>, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    void settled.then(() => {
      clearTimeout(timer)
      resolve()
    })
  })
}
