// Waits until a condition holds. On timeout, fails with the last reason why it did not hold.

/** Repeats `check` every 20 ms until it does not throw. After `withinMs`, throws its last error. When `signal` aborts, stops and throws. */
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
