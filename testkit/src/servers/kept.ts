// The state of one server, which is kept in servers.json or in memory.
import { readState, type State, writeState } from './state.ts'

/** The state of one server. */
export interface Kept<T> {
  get(): T
  set(changes: Partial<T>): void
}

type Of<M extends State['mode']> = Extract<State, { mode: M }>
const isOf = <M extends State['mode']>(state: State | undefined, mode: M): state is Of<M> => state?.mode === mode

/** The states of both servers in the servers.json of `directory`, which must have this mode. */
export function keptIn<M extends State['mode']>(
  directory: string,
  mode: M,
): { rabbitmq: Kept<Of<M>['rabbitmq']>; mysql: Kept<Of<M>['mysql']> } {
  // Read the file each time, because another process may have restarted the server.
  const read = (): Of<M> => {
    const state = readState(directory)
    if (!isOf(state, mode)) throw new Error(`${directory} contains no servers of mode ${mode}`)
    return state
  }
  const part = <K extends 'rabbitmq' | 'mysql'>(name: K): Kept<Of<M>[K]> => ({
    get: () => read()[name],
    set: (changes) => {
      const state = read()
      writeState(directory, { ...state, [name]: { ...state[name], ...changes } })
    },
  })
  return { rabbitmq: part('rabbitmq'), mysql: part('mysql') }
}

/** The state of a server that only this process controls. */
export function keptInMemory<T extends object>(first: T): Kept<T> {
  let state = first
  return {
    get: () => state,
    set: (changes) => {
      state = { ...state, ...changes }
    },
  }
}
