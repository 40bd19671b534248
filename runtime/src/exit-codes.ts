// Exit codes, after sysexits(3). They tell an operator or a supervisor how a process ended.

export const EXIT = {
  /** Stopped on request, and all work in flight was settled. */
  OK: 0,
  /** Stopped on request, but not everything ended before the deadline. */
  UNCLEAN: 1,
  /** A bug. */
  SOFTWARE: 70,
  /** Configuration: environment, broker topology or a taken port. A restart changes nothing. */
  CONFIG: 78,
} as const
