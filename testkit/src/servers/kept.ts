// One server's part of servers.json, read and written by the process that currently controls the server.
import { readState, type State, writeState } from './state.ts'

/** Where the facts about one server are kept between processes. */
export interface Kept<T> {
  get(): T
  set(changes: Partial<T>): void
}

/** The part of the state of `directory` that `pick` reads and `put` writes. */
export function kept<S extends State, T>(
  directory: string,
  isOurs: (state: State) => state is S,
  pick: (state: S) => T,
  put: (state: S, part: T) => S,
): Kept<T> {
  // Read each time, because another process may have restarted the server.
  const read = () => {
    const state = readState(directory)
    if (state === undefined || !isOurs(state)) throw new Error(`nothing of the expected kind is kept in ${directory}`)
    return state
  }
  return {
    get: () => pick(read()),
    set: (changes) => {
      const state = read()
      writeState(directory, put(state, { ...pick(state), ...changes }))
    },
  }
}

/** State of a server that only this process controls. */
export function keptInMemory<T extends object>(first: T): Kept<T> {
  let state = first
  return {
    get: () => state,
    set: (changes) => {
      state = { ...state, ...changes }
    },
  }
}
