// The process that runs the attacks when the soak test requests it. A separate process does not slow down the measurements.
import { z } from 'zod'
import { randomOf } from '../faults/random.ts'
import { attacks } from './attacks.ts'

const order = z.object({
  name: z.string(),
  seed: z.int(),
  forMs: z.number(),
  target: z.object({ http: z.string(), admin: z.array(z.string()), amqp: z.string() }),
})
export type Order = z.output<typeof order>
/** Sent when the attack has ended. `failure` is the reason why it could not run. */
export const report = z.object({ name: z.string(), failure: z.string().optional() })

process.on('message', async (given) => {
  const { name, seed, forMs, target } = order.parse(given)
  const attack = attacks.find((each) => each.name === name)
  const scene = { target, random: randomOf(seed), over: AbortSignal.timeout(forMs) }
  const failure = await attack?.run(scene).then(
    () => undefined,
    (error) => String(error),
  )
  process.send?.({ name, ...(failure === undefined ? {} : { failure }) })
})
process.on('disconnect', () => process.exit())
