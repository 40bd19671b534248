// A tunnel from this machine to the producer: kubectl port-forward on its Service, for the duration of a task.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { NAMESPACE } from './kubectl.ts'

const OPEN_WITHIN_MS = 30_000

/** Runs `work` with the local address of the Service. A tunnel leads to one pod and ends with it, so open one for each task. */
export async function throughService<T>(work: (http: string) => Promise<T>): Promise<T> {
  const args = ['port-forward', '--namespace', NAMESPACE, '--address', '127.0.0.1', 'service/producer', ':5000']
  const child = spawn('kubectl', args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = once(child, 'exit').catch(() => {})
  try {
    return await work(await address(child))
  } finally {
    child.kill()
    await ended
  }
}

function address(child: ReturnType<typeof spawn>): Promise<string> {
  return new Promise((resolve, reject) => {
    let output = ''
    const failed = (why: string) => reject(new Error(`kubectl port-forward service/producer: ${why} ${output.trim()}`))
    const timer = setTimeout(() => failed(`no tunnel within ${OPEN_WITHIN_MS / 1_000} s`), OPEN_WITHIN_MS)
    const look = (chunk: Buffer) => {
      output += chunk
      const port = /^Forwarding from 127\.0\.0\.1:(\d+) /m.exec(output)?.[1]
      if (port === undefined) return
      clearTimeout(timer)
      resolve(`http://127.0.0.1:${port}`)
    }
    child.stdout?.on('data', look)
    child.stderr?.on('data', look)
    child.once('error', ({ message }) => failed(message))
    child.once('exit', (code) => {
      clearTimeout(timer)
      failed(`ended with exit code ${code}:`)
    })
  })
}
