// Waits for a condition that is expected soon.

/** Resolves once `condition` holds. Rejects when it does not within 30 seconds. */
export async function until(condition: () => boolean): Promise<void> {
  for (const since = performance.now(); !condition(); ) {
    if (performance.now() - since > 30_000) throw new Error(`did not happen: ${condition}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
