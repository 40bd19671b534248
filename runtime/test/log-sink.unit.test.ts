// Log lines that an output does not accept: they are buffered up to a limit, further lines are dropped, and the loss is reported.
import { describe, expect, it } from '@jest/globals'
import { LogSink } from '../src/log-sink.ts'

/** An output whose capacity a test controls. `lost` and `resumed` record the reports of the sink. */
function refusableOutput(maxBytes: number) {
  const seen = { text: '', room: Number.POSITIVE_INFINITY, code: 'EAGAIN', lost: 0, resumed: [] as unknown[] }
  const sink: LogSink = new LogSink(
    (bytes) => {
      if (seen.room === 0) throw Object.assign(new Error('refused'), { code: seen.code })
      const taken = Math.min(seen.room, bytes.length)
      seen.room -= taken
      seen.text += bytes.subarray(0, taken).toString()
      return taken
    },
    {
      lost: (lines) => {
        seen.lost += lines
      },
      resumed: (...loss) => {
        seen.resumed.push(loss)
        sink.push(Buffer.from(`(${loss[0]} lost)\n`), 1)
      },
    },
    maxBytes,
  )
  return { seen, push: (text: string) => sink.push(Buffer.from(text), 1), drain: () => sink.drain(), sink }
}

describe('log lines for an output that may reject them', () => {
  it('are buffered, and are written completely and in order when the output accepts them again', () => {
    const { seen, push, drain } = refusableOutput(100)
    seen.room = 4
    push('first\n')
    push('second\n')
    expect(seen.text).toBe('firs')
    seen.room = Number.POSITIVE_INFINITY
    expect(drain()).toBe(true)
    expect([seen.text, seen.lost, seen.resumed]).toEqual(['first\nsecond\n', 0, []])
  })

  it('are dropped beyond the limit, and their number is reported once, where the lines are missing', () => {
    const { seen, push, drain } = refusableOutput(20)
    seen.room = 0
    seen.code = 'ENOSPC'
    for (let line = 0; line < 1_000; line += 1) push(`line ${String(line).padStart(4, '0')}\n`)
    expect(seen.lost).toBe(998)
    seen.room = Number.POSITIVE_INFINITY
    push('again\n')
    drain()
    expect(seen.text).toBe('line 0000\nline 0001\n(998 lost)\nagain\n')
    expect(seen.resumed).toEqual([[998, 'ENOSPC']])
  })

  it('are dropped in long runs when the reader is slow, not one by one', () => {
    const { seen, push } = refusableOutput(1_000)
    for (let line = 0; line < 1_000; line += 1) {
      seen.room = 5
      push('ten bytes\n')
    }
    const written = seen.text.split('\n').filter((text) => text === 'ten bytes').length
    expect(seen.resumed.length).toBeGreaterThan(1)
    expect(seen.resumed.length).toBeLessThan(20)
    // Every line was written, is buffered (at most 1,000 bytes), or was counted as lost.
    expect(written + seen.lost).toBeGreaterThanOrEqual(900)
    expect(written + seen.lost).toBeLessThanOrEqual(1_000)
  })

  it('are written when no other line is buffered, even if they are longer than the limit', () => {
    const { seen, push } = refusableOutput(10)
    push('much longer than the limit\n')
    expect([seen.text, seen.lost]).toEqual(['much longer than the limit\n', 0])
  })

  it('delay the exit while the output is slow, and not when the disk is full', () => {
    const slow = refusableOutput(100)
    slow.seen.room = 0
    slow.push('last\n')
    const asked = performance.now()
    slow.sink.drainWithin(100)
    expect(performance.now() - asked).toBeGreaterThanOrEqual(100)
    const full = refusableOutput(100)
    full.seen.room = 0
    full.seen.code = 'ENOSPC'
    full.push('last\n')
    full.sink.drainWithin(Number.POSITIVE_INFINITY)
    expect(full.seen.text).toBe('')
  })
})
