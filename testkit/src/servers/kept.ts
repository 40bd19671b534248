// One server's part of servers.json, read and written by the process that currently controls the server.
import { readState, type State, writeState } from './state.ts'

/** Where the facts about one server are kept between processes. */
export interface Kept<T> {
  get(): T
  set(changes: Partial<T>): void
}

type Of<M extends State['mode']> = Extract<State, { mode: M }>
const isOf = <M extends State['mode']>(state: State | undefined, mode: M): state is Of<M> => state?.mode === mode

/** The parts about both servers in the state of `directory`, which must have this mode. */
export function keptIn<M extends State['mode']>(
  directory: string,
  mode: M,
): { rabbitmq: Kept<Of<M>['rabbitmq']>; mysql: Kept<Of<M>['mysql']> } {
  // Read each time, because another process may have restarted the server.
  const read = (): Of<M> => {
    const state = readState(directory)
    if (!isOf(state, mode)) throw new Error(`${directory} keeps no servers of mode ${mode}`)
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
