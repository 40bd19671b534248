// A finding of `npm run doctor`: the check, its result, and what to do about a fault.

export interface Finding {
  readonly check: string
  /** `unchecked`: the check could not run, and `found` gives the reason. It must not count as `fine`. */
  readonly state: 'fine' | 'fault' | 'unchecked'
  readonly found: string
  /** What to do. Only for a fault. */
  readonly todo?: string
}

export const fine = (check: string, found: string): Finding => ({ check, state: 'fine', found })
export const fault = (check: string, found: string, todo: string): Finding => ({ check, state: 'fault', found, todo })
export const unchecked = (check: string, because: string): Finding => ({ check, state: 'unchecked', found: because })
