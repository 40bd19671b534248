// The program `dead-letters` as a process on a real broker: killed, interrupted, with little memory, and with hostile messages.
import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  consumerEnvironment,
  createItem,
  type Handler,
  type Item,
  openBroker,
  rabbitmqEnvironment,
} from '@ims/messaging'
import { quietService } from '@ims/messaging/testing'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { eventually, leanNode, serversEnvironment, serversUnderTest, start, type TestSpace } from 'testkit'
import { type BrokerPeer, DEAD, ids, openPeer, QUEUE } from './dead-letters-peer.ts'

const PROGRAM = join(import.meta.dirname, '..', 'src', 'dead-letters.ts')

interface Running {
  readonly child: ChildProcess
  readonly out: () => string
  readonly err: () => string
  readonly ended: Promise<number | NodeJS.Signals | null>
}

describe('the program dead-letters', () => {
  let space: TestSpace
  let peer: BrokerPeer

  beforeAll(async () => {
    ;({ space } = await serversUnderTest('dead_letters_program'))
    peer = await openPeer(space.rabbitmq)
  })
  afterAll(async () => {
    await peer.close()
    await space.drop()
  })
  beforeEach(async () => await peer.empty())

  const startProgram = (args: readonly string[], env: Record<string, string> = {}): Running => {
    const { ended, ...program } = start({
      command: [process.execPath, PROGRAM, ...args],
      env: { ...process.env, NODE_OPTIONS: '', ...serversEnvironment(space), ...env },
    })
    return { ...program, ended: ended.then(({ code, signal }) => code ?? signal) }
  }
  const run = async (...args: string[]) => {
    const running = startProgram(args)
    return { code: await running.ended, out: running.out(), err: running.err() }
  }

  it('loses no message when it is killed during a redrive', async () => {
    const n = 6_000
    let cutShort = 0
    for (const redriven of [1, 1_500, 3_500]) {
      await peer.empty()
      await peer.addDeadLetters(n)
      const { child, ended } = startProgram(['redrive', QUEUE, '--all', '--no-wait'])
      await eventually(async () => expect(await peer.depth(QUEUE)).toBeGreaterThanOrEqual(redriven))
      child.kill('SIGKILL')
      expect(await ended).toBe('SIGKILL')
      // The broker makes unacknowledged messages ready again when it notices the lost connection.
      await eventually(async () => {
        expect((await peer.depth(QUEUE)) + (await peer.depth(DEAD))).toBeGreaterThanOrEqual(n)
      })
      if ((await peer.depth(DEAD)) > 0) cutShort += 1
      const again = await run('redrive', QUEUE, '--all', '--no-wait')
      expect(again).toMatchObject({ code: 0 })
      const all = await peer.ids(QUEUE, await peer.depth(QUEUE))
      expect(new Set(all)).toEqual(new Set(ids(n)))
      // At most one window of messages was redriven twice.
      expect(all.length - n).toBeLessThanOrEqual(1_001)
      expect(await peer.depth(DEAD)).toBe(0)
    }
    expect(cutShort).toBeGreaterThan(0)
  })

  it('exits with 130 on Ctrl-C, and each message is either redriven or still dead-lettered', async () => {
    await peer.addDeadLetters(10_000)
    const { child, ended, out } = startProgram(['redrive', QUEUE, '--all', '--no-wait'])
    await eventually(async () => expect(await peer.depth(QUEUE)).toBeGreaterThan(1))
    child.kill('SIGINT')
    child.kill('SIGINT') // npm and the terminal each send one
    expect(await ended).toBe(130)
    const [, redriven, left] = /redriven (\d+) of 10000 .*, (\d+) left/.exec(out()) ?? []
    expect(Number(left)).toBeGreaterThan(0)
    expect(await peer.ids(QUEUE, Number(redriven))).toEqual(ids(10_000).slice(0, Number(redriven)))
    expect(await peer.ids(DEAD, Number(left))).toEqual(ids(10_000).slice(Number(redriven)))
  })

  it('handles 20,000 dead letters of 4 kB with a heap of 24 MB and less than 200 MB of memory', async () => {
    await peer.addDeadLetters(20_000, (number) => (number % 2 === 0 ? 'invalid' : 'too-large'), 4_000)
    for (const args of [
      ['list', QUEUE, '--limit', '1'],
      ['redrive', QUEUE, '--reason', 'invalid', '--no-wait'],
      ['redrive', QUEUE, '--all', '--no-wait'],
    ]) {
      const running = startProgram(args, { NODE_OPTIONS: '--max-old-space-size=24 --max-semi-space-size=2' })
      let peakKb = 0
      const watching = setInterval(() => {
        peakKb = Math.max(peakKb, residentPeakKb(running.child.pid))
      }, 20)
      expect([args, await running.ended, running.err()]).toEqual([args, 0, expect.not.stringContaining('heap')])
      clearInterval(watching)
      if (process.platform === 'linux') expect(peakKb).toBeGreaterThan(0)
      expect(peakKb).toBeLessThan(200_000)
    }
    expect(await peer.depth(QUEUE)).toBe(20_000)
  })

  it('uses less than 256 MB to list, export and redrive small dead letters followed by dead letters of 15 MiB', async () => {
    await peer.addDeadLetters(100)
    await peer.addDeadLetters(30, () => 'too-large', 15 * 1_048_576)
    for (const args of [
      ['list', QUEUE],
      ['export', QUEUE],
      ['redrive', QUEUE, '--all', '--no-wait'],
    ]) {
      const running = startProgram(args, { ...leanNode, NODE_OPTIONS: '--max-old-space-size=96' })
      running.child.stdout?.removeAllListeners('data').resume()
      let peakKb = 0
      const watching = setInterval(() => {
        peakKb = Math.max(peakKb, residentPeakKb(running.child.pid))
      }, 20)
      expect([args, await running.ended, running.err()]).toEqual([args, 0, expect.not.stringContaining('heap')])
      clearInterval(watching)
      expect([args, peakKb > 256_000 ? peakKb : 0]).toEqual([args, 0])
    }
    expect(await peer.depth(QUEUE)).toBe(130)
  })

  it('exports each dead letter as one line of JSON, and prints the counts by reason in lists and for an unknown reason', async () => {
    await peer.addDeadLetters(1_200, (number) => (number < 200 ? 'invalid' : 'too-large'))
    const { code, out, err } = await run('export', QUEUE)
    expect(code).toBe(0)
    const lines = out.trimEnd().split('\n')
    expect(lines.map((line) => JSON.parse(line).id)).toEqual(ids(1_200))
    expect(err).toContain('1200 of 1200 dead letters exported')
    const list = await run('list', QUEUE, '--limit', '2')
    expect(list.out.match(/^id-\d+/gm)).toEqual(['id-0', 'id-1'])
    expect(list.out).toMatch(/^create_item: 1200 dead letters: too-large 1000 · invalid 200\n/)
    const long = await run('list', QUEUE, '--limit', '1100')
    expect(long.out).toMatch(/^create_item: 1200 dead letters\n/)
    expect(long.out).toContain('create_item: 1200 dead letters: too-large 1000 · invalid 200')
    expect(long.out.match(/^id-\d+/gm)).toEqual(ids(1_100))
    for (const dry of [['--dry-run'], []]) {
      const wrong = await run('redrive', QUEUE, '--reason', 'dupl', ...dry)
      expect(wrong).toMatchObject({
        code: 1,
        err: expect.stringContaining('The reasons are: too-large 1000 · invalid 200'),
      })
    }
  })

  it('sends no control character of a message to the terminal', async () => {
    await peer.put(DEAD, Buffer.from('\u001b]0;owned\u0007'), {
      messageId: '\u001b[2J',
      headers: { 'x-reason': 'in\u0085valid', 'x-error': '\u001b[31m', '\u009bname': ['\u202e'] },
    })
    await peer.put(DEAD, Buffer.from([0x9b, 0xff]), { messageId: 'bytes' })
    for (const args of [['list'], ['show', '\\u001b[2J'], ['show', 'bytes'], ['export', QUEUE]]) {
      const { code, out, err } = await run(...args)
      expect([args, code]).toEqual([args, 0])
      expect((out + err).replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u)
    }
    expect((await run('show', 'bytes')).out).toContain('m/8=')
    expect(await run('redrive', QUEUE, '--no-wait', '--id', '\\u001b[2J')).toMatchObject({ code: 0 })
    expect(await peer.ids(QUEUE, 1)).toEqual(['\u001b[2J'])
  })

  it('logs a redrive to DEAD_LETTERS_LOG, and prints an error when the log cannot be written', async () => {
    await peer.addDeadLetters(3)
    const folder = mkdtempSync(join(tmpdir(), 'ims-dead-letters-log-'))
    const path = join(folder, 'log')
    expect(await startProgram(['redrive', QUEUE, '--id', 'id-1', '--no-wait'], { DEAD_LETTERS_LOG: path }).ended).toBe(
      0,
    )
    const fields = {
      queue: QUEUE,
      verb: 'redrive',
      by: 'id',
      dryRun: false,
      done: 1,
      left: 2,
    }
    expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({
      ...fields,
      level: 'info',
      service: 'dead-letters',
      message: 'operation on dead letters finished',
    })
    rmSync(folder, { recursive: true })
    const unwritten = startProgram(['discard', QUEUE, '--all', '--yes'], { DEAD_LETTERS_LOG: path })
    expect(await unwritten.ended).toBe(0)
    expect(unwritten.err()).toContain(`! cannot write to the log ${path}: ENOENT`)
  })

  it('prints and logs the outcomes of redriven messages, and exits with 0 only if all were applied', async () => {
    const broker = await openBroker(rabbitmqEnvironment.parse(serversEnvironment(space)), quietService)
    const handler: Handler<Item, { outcome: 'created' }> = async (deliveries) =>
      deliveries.map(({ body: { sku } }) =>
        sku === 'taken'
          ? { kind: 'refused', reason: 'duplicate-sku', error: 'it is taken' }
          : { kind: 'applied', result: { outcome: 'created' }, repeated: false },
      )
    await broker.consume(createItem, handler, consumerEnvironment.parse({}))
    const folder = mkdtempSync(join(tmpdir(), 'ims-dead-letters-log-'))
    const path = join(folder, 'log')
    const addDeadLetter = async (sku: string) =>
      await peer.put(DEAD, Buffer.from(JSON.stringify({ sku, name: 'n', label: 'l', price: 1, quantity: 1 })), {
        messageId: sku,
        headers: { 'x-reason': 'duplicate-sku', 'x-redrives': 1 },
      })
    try {
      for (let n = 1; n < 12; n += 1) await addDeadLetter(`free-${n}`)
      await addDeadLetter('taken')
      const partly = startProgram(['redrive', QUEUE, '--all'], { DEAD_LETTERS_LOG: path })
      expect(await partly.ended).toBe(1)
      expect(partly.out()).toMatch(/^create_item: redriven 12 of 12 \(duplicate-sku 12\), [01] left\n/)
      expect(partly.out()).toContain(
        'create_item: outcomes of 12 redriven: 11 applied, 1 dead-lettered again (duplicate-sku 1)\n',
      )
      const lines = readFileSync(path, 'utf8').trimEnd().split('\n')
      expect(JSON.parse(lines[1] ?? '')).toMatchObject({ applied: 11, refused: { 'duplicate-sku': 1 }, unknown: 0 })
      expect(await peer.ids(DEAD, 1)).toEqual(['taken'])
      expect(await run('discard', QUEUE, '--all', '--yes')).toMatchObject({ code: 0 })
      await addDeadLetter('free-12')
      expect(await run('redrive', QUEUE, '--all')).toMatchObject({
        code: 0,
        out: expect.stringContaining('create_item: outcomes of 1 redriven: 1 applied\n'),
      })
    } finally {
      rmSync(folder, { recursive: true })
      await broker.close()
    }
  })

  it('prints the number of unknown outcomes when it is interrupted while it waits', async () => {
    await peer.addDeadLetters(3)
    const { child, ended, out, err } = startProgram(['redrive', QUEUE, '--all'])
    await eventually(() => expect(out()).toContain('redriven 3 of 3'))
    child.kill('SIGINT')
    expect(await ended).toBe(130)
    expect(out()).toContain('create_item: outcomes of 3 redriven: 0 applied, 3 unknown\n')
    expect(err()).toContain('some outcomes are unknown')
  })

  it('discards dead letters only with --yes', async () => {
    await peer.addDeadLetters(3)
    const refused = await run('discard', QUEUE, '--all')
    expect(refused).toMatchObject({ code: 64, out: '', err: expect.stringContaining('add --yes') })
    expect(await peer.ids(DEAD, 3)).toEqual(ids(3))
    const { out } = await run('discard', QUEUE, '--id', 'id-1', '--yes')
    expect(out).toBe('create_item: discarded 1 of 3 (invalid 1), 2 left\n')
    expect(await peer.ids(DEAD, 2)).toEqual(['id-0', 'id-2'])
  })

  it('prints an error when it cannot start, when an id does not exist, and when it cannot finish', async () => {
    expect(await run('show', 'nothing')).toMatchObject({
      code: 1,
      err: expect.stringContaining('no dead letter with the id'),
    })
    await peer.addDeadLetters(2)
    const release = await peer.occupy(DEAD)
    expect(await run('list', QUEUE)).toMatchObject({
      code: 69,
      err: expect.stringContaining('is in use by another reader'),
    })
    await release()
    const away = startProgram(['list'], { RABBITMQ_PORT: '1' })
    expect(await away.ended).toBe(69)
    expect(away.err()).toContain('no connection to the broker')
    const wrong = startProgram(['list'], { RABBITMQ_PORT: 'x' })
    expect(await wrong.ended).toBe(78)
    expect(wrong.err()).toContain('configuration: RABBITMQ_PORT: must be a whole number')
    await peer.remove(QUEUE)
    const { code, out, err } = await run('redrive', QUEUE, '--all', '--no-wait')
    expect({ code, out }).toEqual({ code: 1, out: 'create_item: redriven 0 of 2, 2 left\n' })
    expect(err).toContain('the broker has no queue create_item to redrive to')
  })
})

/** The peak memory of a process. 0 after its exit, and on systems other than Linux. */
function residentPeakKb(pid: number | undefined): number {
  try {
    return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0)
  } catch {
    return 0
  }
}
