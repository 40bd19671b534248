// What a pair of real servers looks like to those who use it, whichever way the servers were come by.
import type { ProcessIdentity } from '../processes/process-identity.ts'

export const modes = ['external', 'docker', 'local'] as const
export type Mode = (typeof modes)[number]

/** A server that can be taken away and brought back, for tests of what happens then. */
export interface Control {
  /** Ends the server in its own good order; resolves when it is gone. Nothing happens if it is not running. */
  stop(): Promise<void>
  /** Resolves when the server accepts connections; rejects with the last lines of its log when it does not in time. */
  start(): Promise<void>
  /** SIGKILL: resolves when it is gone. */
  kill(): Promise<void>
}

export interface Rabbitmq extends Control {
  readonly host: string
  readonly port: number
  readonly username: string
  readonly password: string
  readonly vhost: string
  readonly version: string
  /** Runs `rabbitmqctl --quiet ARGS` on this node and resolves with what it prints; rejects when it fails. */
  ctl(...args: string[]): Promise<string>
  /** Loads definitions (vhosts, permissions, policies), given as JSON text, in one go. */
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

/** A server as a process of this machine that is to be kept running. */
export interface ServerProcess {
  readonly name: 'RabbitMQ' | 'MySQL'
  /** The one that was started last, alive or not. */
  identity(): ProcessIdentity | undefined
  start(): Promise<void>
  stop(): Promise<void>
}

/** One real RabbitMQ and one real MySQL or MariaDB. */
export interface Servers {
  readonly mode: Mode
  readonly rabbitmq: Rabbitmq
  readonly mysql: Mysql
  /** Both where they are processes of ours; empty where they are containers, or somebody else's. */
  readonly processes: readonly ServerProcess[]
  /** Stops both servers and all that belongs to them; external servers are left alone. */
  close(options: { deleteData: boolean }): Promise<void>
}

/** Takes one line of what is going on at the moment. */
export type OnProgress = (text: string) => void

/** The servers cannot be had on this machine as it is; the message says what to do about it. */
export class ServersUnavailable extends Error {
  override readonly name = 'ServersUnavailable'
  /** EX_UNAVAILABLE of sysexits.h. */
  readonly exitCode = 69
}
