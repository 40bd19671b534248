// The public exports of testkit: real servers, network proxies, child processes and helpers for tests.
export { allocatedBytes, heldBytes } from './allocated-bytes.ts'
export { type Certificate, CertificateAuthority } from './certificate-authority.ts'
export { commitOf } from './commit.ts'
export { eventually } from './eventually.ts'
export { type FuzzParameters, fuzzParameters } from './fuzz.ts'
export { leanNode } from './lean-node.ts'
export { ownSuite } from './own-suite.ts'
export { type End, runToEnd, type Started, start } from './processes/start.ts'
export { run } from './servers/command.ts'
export { freePorts } from './servers/free-ports.ts'
export { type Galera, type GaleraNode, startGalera, withoutGalera } from './servers/galera.ts'
export { attachServers, type StartOptions, startServers } from './servers/index.ts'
export { hasServerPrograms, type PrivateMysql, privateMysql } from './servers/private-mysql.ts'
export { joinTwoNodes } from './servers/rabbitmq-cluster.ts'
export type { Control, Mode, Mysql, OnProgress, Rabbitmq, Servers } from './servers/servers.ts'
export { ServersUnavailable } from './servers/servers.ts'
export { type TestSpace, testSpace } from './servers/test-space.ts'
export { serversEnvironment } from './servers-environment.ts'
export {
  type HeldAnswer,
  type MysqlError,
  type Refusals,
  startTcpProxy,
  type TcpProxy,
  type Weather,
} from './tcp-proxy.ts'
export { startTlsProxy, type TlsProxy } from './tls-proxy.ts'
export { serversUnderTest } from './under-test.ts'
