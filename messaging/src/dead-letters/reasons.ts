// Counts dead letters by reason.

const REASONS_MAX = 100

/** Counts one dead letter. Any sender can choose a reason, so after 100 different reasons all new ones are counted together. */
export function countReason(reasons: Map<string, number>, reason: string): void {
  const key = reasons.has(reason) || reasons.size < REASONS_MAX ? reason : '(others)'
  reasons.set(key, (reasons.get(key) ?? 0) + 1)
}
