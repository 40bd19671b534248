// A suite in the background: the supervisor gets a process and a session of its own, and tells its parent how the start goes.
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync } from 'node:fs'
import { ownScreen, showOn } from './display.ts'
import { logDirectory, supervisorLog } from './fleet.ts'
import { type Report, upEvent } from './progress.ts'
import { runSuite } from './run-suite.ts'
import { makePrivateDirectory } from './state.ts'
import { listenForSignals, type StopRequest } from './stop-request.ts'
import { nameWidth, type Suite } from './suite.ts'

const LEFT_OPEN_MS = 2_000

/**
 * Runs `entry`, a module that calls `superviseInBackground`, and reports what it reports until the suite is up or has failed.
 * Resolves with the exit code. A stop request meanwhile is passed on, and the end of the supervisor awaited.
 */
export async function startInBackground(
  entry: string,
  directory: string,
  report: Report,
  request: StopRequest,
): Promise<number> {
  makePrivateDirectory(directory)
  const supervisor = spawnSupervisor(entry, directory)
  const stop = () => supervisor.kill('SIGTERM')
  request.stop.addEventListener('abort', stop)
  request.hurry.addEventListener('abort', stop)
  return await new Promise<number>((resolve) => {
    let settled = false
    supervisor.on('message', (message) => {
      const event = upEvent.safeParse(message).data
      if (event === undefined) return
      report(event)
      if (event.kind !== 'settled') return
      settled = true
      supervisor.disconnect()
      supervisor.unref()
      resolve(event.code)
    })
    supervisor.once('error', (error) => {
      report({ kind: 'note', text: `! the supervisor could not be started: ${error.message}` })
      resolve(1)
    })
    supervisor.once('exit', (code, signal) => {
      if (settled) return
      const how = signal === null ? `exit code ${code}` : `killed by ${signal}`
      const log = supervisorLog(directory)
      report({ kind: 'note', text: `! the supervisor ended before the suite was up (${how}); ${log} says more` })
      resolve(1)
    })
  })
}

/** The whole of a background supervisor's main: runs the suite, its words go to its log and, until the start is over, to the parent. */
export async function superviseInBackground(suite: Suite): Promise<void> {
  const screen = ownScreen()
  const show = showOn({ write: (text) => screen.write(dated(text)) }, nameWidth(suite))
  process.exitCode = await runSuite(
    suite,
    (event) => {
      // The services' lines are in their own files.
      if (event.kind === 'log') return
      show(event)
      // The parent may go at any moment; that is no reason to stop.
      if (process.connected) process.send?.(event, undefined, undefined, () => undefined)
    },
    listenForSignals(),
  )
  if (process.connected) process.disconnect()
  // Whatever a server left open must not keep a supervisor alive that has nothing to supervise.
  setTimeout(() => process.exit(), LEFT_OPEN_MS).unref()
}

/** Its lines with the time in front, each. */
function dated(text: string): string {
  const time = new Date().toISOString()
  return text.replaceAll(/^(?=.)/gm, `${time} `)
}

function spawnSupervisor(entry: string, directory: string): ChildProcess {
  mkdirSync(logDirectory(directory), { recursive: true, mode: 0o700 })
  const log = openSync(supervisorLog(directory), 'a', 0o600)
  try {
    return spawn(process.execPath, [entry], { detached: true, env: process.env, stdio: ['ignore', log, log, 'ipc'] })
  } finally {
    closeSync(log)
  }
}
