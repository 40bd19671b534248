// A job that repeats in the background until it is closed or the service shuts down.

export interface BackgroundJob {
  /** Stops the job. Resolves after the current round has ended. */
  close(): Promise<void>
}

/** Runs `round` repeatedly. It must contain a pause and must not reject. `ended` aborts when the job must stop. */
export function inBackground(stopping: AbortSignal, round: (ended: AbortSignal) => Promise<void>): BackgroundJob {
  const closing = new AbortController()
  const ended = AbortSignal.any([closing.signal, stopping])
  const rounds = repeat(round, ended)
  return {
    close: async () => {
      closing.abort()
      await rounds
    },
  }
}

async function repeat(round: (ended: AbortSignal) => Promise<void>, ended: AbortSignal): Promise<void> {
  while (!ended.aborted) await round(ended)
}

/** A job that is disabled by its configuration. */
export const disabledJob: BackgroundJob = { close: async () => {} }
