// Exit codes, as in sysexits(3). They show an operator or a supervisor how a process ended.

export const EXIT = {
  /** A command is done, or a service stopped on request and settled all work in flight. */
  OK: 0,
  /** A command failed, or a service stopped on request before all work had ended. */
  UNCLEAN: 1,
  /** An unexpected error of a service, which is a bug. */
  SOFTWARE: 70,
  /** The standard output cannot be written, for example because the disk is full. */
  CANNOT_WRITE: 73,
  /** Wrong configuration: environment, broker topology, or a port that is in use. A restart does not help. */
  CONFIG: 78,
} as const
