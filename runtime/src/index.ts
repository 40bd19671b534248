// The public exports of runtime.
export {
  type ConfigOf,
  environmentTable,
  InvalidEnvironment,
  parseEnvironment,
  type Sections,
  type VariableRow,
} from './config.ts'
export { EXIT } from './exit-codes.ts'
export { foreignRequest, isLoopback, servedHosts } from './http/local-hosts.ts'
export { type ProblemDocument, problemBody, problemSent, sendProblemDocument } from './http/problem-document.ts'
export { refusalOf } from './http/refusal.ts'
export {
  COST_OF_CONNECTION_BYTES,
  COST_OF_HELD_BYTE,
  type HttpServerConfig,
  type Listening,
  openHttpServer,
} from './http/server.ts'
export { Shares } from './http/shares.ts'
export { type ListenOn, listen, PortTaken } from './listen.ts'
export { createLog } from './log.ts'
export { standardOutput } from './log-output.ts'
export { LogSink } from './log-sink.ts'
export {
  type Buffered,
  DoesNotFit,
  limitYoungGeneration,
  MemoryBudget,
  memoryEnvironment,
  readMemoryBudget,
  type Setting,
} from './memory-budget.ts'
export { createMeter, METRICS } from './metrics.ts'
export type { Owned } from './ownership.ts'
export { escapeUnsafe, printable } from './redaction.ts'
export { runCommand } from './run-command.ts'
export { type Program, runProgram } from './run-program.ts'
export { type RunningService, runService, runtimeSections } from './run-service.ts'
export type { Log, Meter, Service } from './service.ts'
export { type Watched, watchVariable } from './watched-variable.ts'
