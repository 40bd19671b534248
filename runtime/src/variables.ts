// Schemas for numbers in environment variables.
import { z } from 'zod'

/** An integer from `min` to `max`, in decimal digits. */
export const whole = (min: number, max: number) =>
  z.string().regex(/^\d+$/, 'must be a whole number').transform(Number).pipe(z.int().min(min).max(max))

/** Milliseconds up to an hour. */
export const ms = (fallback: number) => whole(1, 3_600_000).default(fallback)
