// Runs the four calls and the example of the README, and compares their output.
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { type Stack, startStack } from '../stack.ts'
import { codeBlocks, ROOT } from './documents.ts'

const shell = promisify(execFile)

/** The commands of a block, each with its output. The block shows the output as a comment below the command. */
function commandsIn(block: string): readonly { readonly command: string; readonly output: string }[] {
  return [...block.matchAll(/((?:^[^#\n].*\n)+)((?:^# .*\n)+)/gm)].map(([, command = '', output = '']) => ({
    command,
    output: output.replace(/^# /gm, '').trim(),
  }))
}

describe('README.md', () => {
  let stack: Stack
  beforeAll(async () => {
    stack = await startStack('readme')
  })
  afterAll(async () => await stack.stop())

  it('shows four calls with their actual responses', async () => {
    const readme = readFileSync(join(ROOT, 'README.md'), 'utf8')
    const [calls = ''] = codeBlocks(readme.slice(readme.indexOf('## Use it')), 'sh')
    const commands = commandsIn(calls)
    expect(commands).toHaveLength(4)
    for (const { command, output } of commands) {
      const here = command.replaceAll('http://127.0.0.1:5000', stack.http)
      const { stdout } = await shell('bash', ['-c', here])
      expect([command, stdout]).toEqual([command, output])
    }
  })

  it('shows an example that sends a message, consumes it, logs the reply, and shuts down', async () => {
    const child = spawn(process.execPath, [join(ROOT, 'examples/one-message.ts')], {
      env: { ...process.env, ...stack.env, NODE_OPTIONS: '' },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const exited = once(child, 'exit')
    const replies: unknown[] = []
    for await (const line of createInterface({ input: child.stdout })) {
      const { message, reply } = JSON.parse(line)
      if (message !== 'the consumer replied') continue
      replies.push(reply)
      child.kill('SIGTERM')
    }
    expect(replies).toEqual([{ kind: 'applied', result: { greeting: 'Hello, world' } }])
    expect(await exited).toEqual([0, null])
  })
})
