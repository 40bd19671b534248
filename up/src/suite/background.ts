// A suite in the background: the supervisor gets its own process and session, and reports the start to its parent.
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
 * Runs `entry`, a module that calls `superviseInBackground`, and forwards its reports until the suite is up or has
 * failed. Resolves with the exit code. Forwards a stop request meanwhile, and waits for the supervisor to exit.
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

/** The main function of a background supervisor: runs the suite. Its messages go to its log and, during the start, also to the parent. */
export async function superviseInBackground(suite: Suite): Promise<void> {
  const screen = ownScreen()
  const show = showOn({ write: (text) => screen.write(dated(text)) }, nameWidth(suite))
  process.exitCode = await runSuite(
    suite,
    (event) => {
      // The services' log lines are in their own files.
      if (event.kind === 'log') return
      show(event)
      // The parent may exit at any time. That does not stop the suite.
      if (process.connected) process.send?.(event, undefined, undefined, () => undefined)
    },
    listenForSignals(),
  )
  if (process.connected) process.disconnect()
  // Exit explicitly: a handle that a server left open must not keep the supervisor alive.
  setTimeout(() => process.exit(), LEFT_OPEN_MS).unref()
}

/** The lines of the text, each with the time in front. */
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
