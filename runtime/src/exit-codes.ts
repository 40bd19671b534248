// Exit codes, as in sysexits(3). They show an operator or a supervisor how a process ended.

export const EXIT = {
  /** Stopped on request, and all work in flight was settled. */
  OK: 0,
  /** Stopped on request, but some work did not end before the deadline. */
  UNCLEAN: 1,
  /** A bug. */
  SOFTWARE: 70,
  /** Wrong configuration: environment, broker topology, or a port that is in use. A restart does not help. */
  CONFIG: 78,
} as const
