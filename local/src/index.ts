// What other parts of the repository may use of local/: real servers to run on.
export { eventually } from './eventually.ts'
export { leanNode } from './lean-node.ts'
export { attachServers, type StartOptions, startServers } from './servers/index.ts'
export type { Control, Mode, Mysql, OnProgress, Rabbitmq, Servers } from './servers/servers.ts'
export { ServersUnavailable } from './servers/servers.ts'
export { type TestSpace, testSpace } from './servers/test-space.ts'
export { serversEnvironment } from './servers-environment.ts'
export { serversUnderTest } from './under-test.ts'
