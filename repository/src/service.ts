// What the repository needs from its process: a logger, and the signal that shutdown has begun.
import type { Service as RuntimeService } from '@ims/runtime/service'

export type { Log } from '@ims/runtime/service'
export type Service = Omit<RuntimeService, 'meter'>
