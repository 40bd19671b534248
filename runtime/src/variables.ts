// Schemas for numbers in environment variables, and for ports.
import { z } from 'zod'

/** An integer from `min` to `max`, in decimal digits. */
export const whole = (min: number, max: number) =>
  z.string().regex(/^\d+$/, 'must be a whole number').transform(Number).pipe(z.int().min(min).max(max))

export const PORT_MAX = 65_535

/** The number of a TCP port. */
export const portNumber = z.int().min(1).max(PORT_MAX)

/** A TCP port in an environment variable. */
export const port = whole(1, PORT_MAX)

/** Like `port`, but 0 is allowed and means any free port. */
export const listeningPort = whole(0, PORT_MAX)

/** Milliseconds in an environment variable, up to an hour. */
export const ms = (fallback: number) => whole(1, 3_600_000).default(fallback)
