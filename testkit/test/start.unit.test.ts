// A started program: its output, its exit code, and the child processes that it leaves.
import { expect, it } from '@jest/globals'
import { eventually } from '../src/eventually.ts'
import { identify } from '../src/processes/process-identity.ts'
import { onTerminal, start } from '../src/processes/start.ts'

const node = (script: string) => ({ command: [process.execPath, '-e', script] as const })

it('keeps the output of both streams and reports the exit code', async () => {
  const { ended, out, err } = start(node("console.log('é'); console.error('why'); process.exitCode = 3"))
  expect(await ended).toEqual({ code: 3, signal: null })
  expect([out(), err()]).toEqual(['é\n', 'why\n'])
})

it('passes whole lines to onLine, including a last line without a line feed, and does not keep them', async () => {
  const lines: string[] = []
  const halves = "const b = Buffer.from('é\\nend'); process.stdout.write(b.subarray(0, 1), () => setTimeout(() => "
  const { ended, out } = start({
    ...node(`${halves}process.stdout.write(b.subarray(1)), 50))`),
    onLine: (line) => lines.push(line),
  })
  await ended
  expect([lines, out()]).toEqual([['é', 'end'], ''])
})

it('reports a program that does not exist, without throwing', async () => {
  const { ended } = start({ command: ['/no/such/program'] })
  expect(await ended).toMatchObject({ code: null, signal: null, error: { code: 'ENOENT' } })
  expect(await onTerminal({ command: ['/no/such/program'] })).toBe(1)
})

it('does not wait for a grandchild that keeps the output open, and kills it with the process group', async () => {
  const script =
    "console.log(require('child_process').spawn('sleep', ['60'], { stdio: 'inherit' }).pid); process.exit(0)"
  const { ended, out, killGroup } = start({ ...node(script), ownGroup: true })
  expect(await ended).toMatchObject({ code: 0 })
  const grandchild = Number(out())
  expect(identify(grandchild)).toBeDefined()
  killGroup('SIGKILL')
  await eventually(() => expect(identify(grandchild)).toBeUndefined())
})

it('returns the exit code of a program on the terminal, and 143 after SIGTERM, as a shell does', async () => {
  expect(await onTerminal(node('process.exit(5)'))).toBe(5)
  expect(await onTerminal(node("process.kill(process.pid, 'SIGTERM'); setInterval(() => {}, 1000)"))).toBe(143)
})
