// What the repository needs of the process it runs in: a logger, and the news that shutdown has begun.
import type { Service as RuntimeService } from '@ims/runtime/service'

export type { Log } from '@ims/runtime/service'
export type Service = Omit<RuntimeService, 'meter'>
