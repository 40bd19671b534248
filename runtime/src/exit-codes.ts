// Exit codes, after sysexits(3): what an operator or a supervisor can tell from the way a process ended.

export const EXIT = {
  /** Stopped as asked: everything in hand was settled. */
  OK: 0,
  /** Stopped as asked, but not everything ended before the deadline. */
  UNCLEAN: 1,
  /** A bug. */
  SOFTWARE: 70,
  /** Configuration: environment, broker topology or a taken port; starting again changes nothing. */
  CONFIG: 78,
} as const
