// The interface of a pair of real servers. It is the same for all modes.
import type { ProcessIdentity } from '../processes/process-identity.ts'

export const modes = ['external', 'docker', 'local'] as const
export type Mode = (typeof modes)[number]

/** A server that a test can stop and restart, to test how clients react. */
export interface Control {
  /** Stops the server cleanly and resolves when it has exited. Does nothing if it is not running. */
  stop(): Promise<void>
  /** Resolves when the server accepts connections. On timeout, rejects with the last lines of its log. */
  start(): Promise<void>
  /** Sends SIGKILL. Resolves when the server has exited. */
  kill(): Promise<void>
}

export interface Rabbitmq extends Control {
  readonly host: string
  readonly port: number
  readonly username: string
  readonly password: string
  readonly vhost: string
  readonly version: string
  /** Runs `rabbitmqctl --quiet ARGS` on this node and resolves with its output. Rejects when it fails. */
  ctl(...args: string[]): Promise<string>
  /** Loads definitions (vhosts, permissions, policies), given as JSON text, in one call. */
  importDefinitions(json: string): Promise<void>
}

export interface Mysql extends Control {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
  readonly database: string
  readonly version: string
  /** Runs statements as the server's root and resolves with the rows, tab-separated, without headings. */
  sql(statements: string): Promise<string>
}

/** A server that runs as a process of this machine. */
export interface ServerProcess {
  readonly name: 'RabbitMQ' | 'MySQL'
  /** The most recently started process, alive or not. */
  identity(): ProcessIdentity | undefined
  start(): Promise<void>
  stop(): Promise<void>
}

/** One real RabbitMQ and one real MySQL or MariaDB. */
export interface Servers {
  readonly mode: Mode
  readonly rabbitmq: Rabbitmq
  readonly mysql: Mysql
  /** The processes of both private servers. Empty for containers and external servers. */
  readonly processes: readonly ServerProcess[]
  /** Stops both servers and their helper processes. Does nothing to external servers. */
  close(options: { deleteData: boolean }): Promise<void>
}

/** Receives one line about the current activity. */
export type OnProgress = (text: string) => void

/** The servers cannot run on this machine in its current state. The message says what to do. */
export class ServersUnavailable extends Error {
  override readonly name = 'ServersUnavailable'
  /** EX_UNAVAILABLE of sysexits.h. */
  readonly exitCode = 69
}
