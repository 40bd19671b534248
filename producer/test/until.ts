// Waits for a condition that is expected soon.

/** Resolves when `condition` is true. Rejects after 30 seconds. */
export async function until(condition: () => boolean): Promise<void> {
  for (const since = performance.now(); !condition(); ) {
    if (performance.now() - since > 30_000) throw new Error(`not true within 30 s: ${condition}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
