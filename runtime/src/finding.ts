// One finding of the doctor: what was checked, what it found, and what to do about it.

export interface Finding {
  readonly check: string
  /** `unchecked` is never as good as `fine`: `found` gives the reason. */
  readonly state: 'fine' | 'fault' | 'unchecked'
  readonly found: string
  /** What to do. Only for a fault. */
  readonly todo?: string
}

export const fine = (check: string, found: string): Finding => ({ check, state: 'fine', found })
export const fault = (check: string, found: string, todo: string): Finding => ({ check, state: 'fault', found, todo })
export const unchecked = (check: string, because: string): Finding => ({ check, state: 'unchecked', found: because })
