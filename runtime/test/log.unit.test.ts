// The format of a log line, and the secrets and control characters that it must not contain.
import { describe, expect, it } from '@jest/globals'
import { createLog } from '../src/index.ts'

/** The text that the logger writes when `write` uses it. */
function logged(write: (log: ReturnType<typeof createLog>) => void): string {
  const lines: string[] = []
  write(createLog('some service', { level: 'info', format: 'json' }, { write: (line) => void lines.push(line) }))
  return lines.join('')
}

describe('the log', () => {
  it('writes one JSON object per line, with service, level by name, time and message', () => {
    const text = logged((log) => log.warn({ queue: 'q' }, 'hello'))
    const line = JSON.parse(text)
    expect(line).toMatchObject({ level: 'warn', service: 'some service', queue: 'q', message: 'hello' })
    expect(new Date(line.time).toISOString()).toBe(line.time)
    expect(text.endsWith('}\n')).toBe(true)
  })

  it('writes the time of each line', () => {
    const times = [1, 2].map(() => {
      const before = Date.now()
      while (Date.now() === before);
      const { time } = JSON.parse(logged((log) => log.info({}, 'hello')))
      expect(Date.parse(time)).toBeGreaterThan(before)
      expect(Date.parse(time)).toBeLessThanOrEqual(Date.now())
      return time
    })
    expect(new Set(times).size).toBe(2)
  })

  it('does not write records below its level', () => {
    expect(logged((log) => log.debug({}, 'detail'))).toBe('')
  })

  it('redacts members with secret names, at any depth, including in lists and errors', () => {
    const secret = 's3cr3t'
    const failure = Object.assign(new Error('failed', { cause: new Error('below') }), { config: { password: secret } })
    const text = logged((log) => {
      log.info({ password: secret }, 'flat')
      log.info({ config: { mysql: { PASSWORD: secret, host: 'h' } } }, 'nested')
      log.info(
        { list: [{ accessToken: secret }], headers: { Authorization: `Bearer ${secret}`, cookie: secret } },
        'list',
      )
      log.info({ MYSQL_PASSWORD: { current: secret } }, 'whole members')
      log.error({ err: failure }, 'error')
      log.error(failure, 'bare error')
    })
    expect(text).not.toContain(secret)
    const lines = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(lines[1].config.mysql).toEqual({ PASSWORD: '[redacted]', host: 'h' })
    expect(lines[4].err).toMatchObject({ type: 'Error', message: 'failed: below', config: { password: '[redacted]' } })
    expect(lines[4].err.stack).toContain('log.unit.test')
  })

  it('redacts passwords inside URLs, including in messages', () => {
    const text = logged((log) =>
      log.info({ url: 'amqp://guest:pa55@host/x' }, 'cannot reach mysql://root:pa55@db:3306'),
    )
    expect(text).not.toContain('pa55')
    expect(JSON.parse(text)).toMatchObject({
      url: 'amqp://guest:[redacted]@host/x',
      message: 'cannot reach mysql://root:[redacted]@db:3306',
    })
  })

  it.each([
    ['a line break', 'a\nb\r\n{"level":"error","message":"forged"}'],
    ['a Unicode line separator', 'a\u2028b\u2029c\u0085d'],
    ['an escape sequence of the terminal', '\u001b[2J\u009b31m\u0007\u007f'],
    ['a change of the writing direction', '\u202egnp.exe\u2066\ufeff'],
    ['half a surrogate pair', '\ud800'],
    ['a NUL', 'a\u0000b'],
  ])('writes %s in a member, its name or the message as escapes on one line', (_, text) => {
    const line = logged((log) => log.info({ text, [text]: [text] }, text))
    expect(line.trimEnd()).toMatch(/^[^\p{Cc}\u2028-\u202e\u2066-\u2069\ufeff]*$/u)
    expect(JSON.parse(line)).toMatchObject({ text, [text]: [text], message: text, level: 'info' })
  })

  it('does not change the logged object, and accepts cycles', () => {
    const fields: Record<string, unknown> = { password: 'p', inner: { token: 't' } }
    fields.self = fields
    logged((log) => log.info(fields, 'cycle'))
    expect(fields).toEqual({ password: 'p', inner: { token: 't' }, self: fields })
  })
})

const OWN_COLOUR = new RegExp(`${'\u001b'}\\[\\d+m`, 'g')

describe('the pretty log', () => {
  it('shows control characters as escapes, in messages, members and errors', () => {
    const lines: string[] = []
    const log = createLog(
      'some service',
      { level: 'info', format: 'pretty' },
      { write: (line) => void lines.push(line) },
    )
    const hostile = 'a\u001b]0;x\u0007\u009b2J\u202eb\n[00:00:00.000] INFO: paid'
    log.info({ id: hostile }, hostile)
    log.error({ err: new Error(hostile) }, 'failed')
    // Without the colours of pino-pretty, any control character comes from the hostile text.
    const text = lines.join('').replaceAll(OWN_COLOUR, '')
    expect(text).toContain(': a\\u001b]0;x\\u0007\\u009b2J\\u202eb\\n[00:00:00.000] INFO: paid')
    expect(text).toContain('"a\\u001b]0;x\\u0007\\u009b2J\\u202eb\\n[00:00:00.000] INFO: paid"')
    expect(text).not.toMatch(/[^\P{C}\n]/u)
    expect(text).not.toMatch(/^\[00:00:00/m)
  })
})
