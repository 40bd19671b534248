// The part of the process that the repository needs: the logger, and the signal that shutdown has begun.
import type { Service as RuntimeService } from '@ims/runtime/service'

export type { Log } from '@ims/runtime/service'
export type Service = Omit<RuntimeService, 'meter'>
