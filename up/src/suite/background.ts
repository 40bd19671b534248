// A suite in the background. Its supervisor has its own process and session, and reports its startup to its parent.
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync } from 'node:fs'
import { makePrivate } from 'testkit/servers/state'
import { ownScreen, showOn } from './display.ts'
import { logDirectory, supervisorLog } from './fleet.ts'
import { type Report, upEvent } from './progress.ts'
import { runSuite } from './run-suite.ts'
import { listenForSignals, type StopRequest } from './stop-request.ts'
import { nameWidth, type Suite } from './suite.ts'

const LEFT_OPEN_MS = 2_000

/**
 * Runs `entry`, a module that calls `superviseInBackground`, and forwards its reports until the suite is up or has
 * failed. Resolves with the exit code. On a stop request, sends SIGTERM to the supervisor and waits until it exits.
 */
export async function startInBackground(
  entry: string,
  directory: string,
  report: Report,
  request: StopRequest,
): Promise<number> {
  makePrivate(directory)
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
      report({ kind: 'note', text: `! the supervisor exited before the suite was up (${how}); see ${log}` })
      resolve(1)
    })
  })
}

/** The main function of a background supervisor. Writes its messages to its log, and during startup also sends them to the parent. */
export async function superviseInBackground(suite: Suite): Promise<void> {
  const screen = ownScreen()
  const show = showOn({ write: (text) => screen.write(dated(text)) }, nameWidth(suite))
  process.exitCode = await runSuite(
    suite,
    (event) => {
      // The services' log lines are in their own files.
      if (event.kind === 'log') return
      show(event)
      // The parent may exit at any time. The suite keeps running.
      if (process.connected) process.send?.(event, undefined, undefined, () => undefined)
    },
    listenForSignals(),
  )
  if (process.connected) process.disconnect()
  // Exits explicitly, because a handle that a server left open could keep the supervisor alive.
  setTimeout(() => process.exit(), LEFT_OPEN_MS).unref()
}

/** Adds the time to the start of each line. */
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
