// The public face of runtime.
export {
  type ConfigOf,
  environmentTable,
  InvalidEnvironment,
  parseEnvironment,
  type Sections,
  type VariableRow,
} from './config.ts'
export { EXIT } from './exit-codes.ts'
export { type ListenOn, listen, PortTaken } from './listen.ts'
export { createLog } from './log.ts'
export { type Buffered, DoesNotFit, MemoryBudget, readMemoryBudget, type Setting } from './memory-budget.ts'
export { createMeter, type Meter } from './metrics.ts'
export type { Owned } from './ownership.ts'
export { runCommand } from './run-command.ts'
export { type Program, runProgram } from './run-program.ts'
export { type RunningService, runService, runtimeSections } from './run-service.ts'
export type { Log, Service } from './service.ts'
export { type Watched, watchVariable } from './watched-variable.ts'
