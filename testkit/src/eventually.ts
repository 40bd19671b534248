// Waits until a condition holds, and fails with the last reason why it does not.

/** Repeats `check` every 20 ms until it stops throwing. After `withinMs`, throws the last error. Once `signal` has aborted, throws instead of checking again. */
export async function eventually(
  check: () => void | Promise<void>,
  withinMs = 60_000,
  signal?: AbortSignal,
): Promise<void> {
  const deadline = Date.now() + withinMs
  for (;;) {
    signal?.throwIfAborted()
    try {
      return await check()
    } catch (error) {
      if (Date.now() > deadline) throw error
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}
