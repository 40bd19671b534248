// Waits for what must become true, and fails with the last reason why it is not.

/** Repeats `check` every 20 ms until it does not throw, for at most `withinMs`; then throws what it threw last. */
export async function eventually(check: () => void | Promise<void>, withinMs = 10_000): Promise<void> {
  const deadline = Date.now() + withinMs
  for (;;) {
    try {
      return await check()
    } catch (error) {
      if (Date.now() > deadline) throw error
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}
