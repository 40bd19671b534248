// Coalesces identical requests. Callers never join a request that is already in flight.

/** Maximum time that a request waits for more callers while another one is in flight. */
const GATHER_MAX_MS = 10

interface Lane<Answer> {
  /** Resolves when the request in flight has its reply, or has failed. */
  readonly settled: Promise<void>
  /** The next request, for all callers since the request in flight was sent. */
  next: Joint<Answer> | undefined
}

/** A request of several callers. `ask` gets a signal that aborts when the signal of every caller has aborted. */
class Joint<Answer> {
  readonly #left = new AbortController()
  readonly answer: Promise<Answer>
  #waiting = 0

  constructor(ask: (left: AbortSignal) => Promise<Answer>) {
    this.answer = ask(this.#left.signal)
  }

  join(signal: AbortSignal | undefined): Promise<Answer> {
    this.#waiting += 1
    const leave = () => {
      this.#waiting -= 1
      if (this.#waiting === 0) this.#left.abort()
    }
    // Without this, the signal of a whole list would keep each of its pages in memory through the listener.
    const forget = () => signal?.removeEventListener('abort', leave)
    signal?.addEventListener('abort', leave)
    this.answer.then(forget, forget)
    return this.answer
  }
}

/**
 * Wraps `ask` so that callers with the same key (`keyOf`) share one request while another one with that key is in
 * flight. No caller gets a reply to a request that was sent before its call, because the reply may miss changes that
 * the caller knows. If no request is in flight, a request is sent at once. Otherwise it waits for the one in flight, for
 * at most 10 ms. `ask` gets a signal that aborts when the signals of all callers have aborted.
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
      await settledOr(lane.settled, GATHER_MAX_MS)
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
