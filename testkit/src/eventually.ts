// Waits until a condition holds, and fails with the last reason why it does not.

/** Repeats `check` every 20 ms until it stops throwing. After `withinMs`, throws the last error. */
export async function eventually(check: () => void | Promise<void>, withinMs = 60_000): Promise<void> {
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
