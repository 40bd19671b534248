// Supervision reopens a resource that is lost, even while it opens, and closes each instance exactly once.
import { describe, expect, it } from '@jest/globals'
import { eventually } from 'testkit'
import { Supervised } from '../src/connection/supervised.ts'
import { Misconfigured } from '../src/errors.ts'
import { clockOf } from '../src/scope.ts'
import { quietService } from '../src/testing.ts'

type Resource = { id: number; lose: (reason: Error) => void }

function supervise(
  open?: (id: number, lost: (reason: Error) => void) => Promise<void>,
  reconnectMaxMs = 20,
  ended: (resource: Resource) => Error | undefined = () => undefined,
  clock = clockOf(quietService),
) {
  const opened: Resource[] = []
  const closed: number[] = []
  let reopened = 0
  const supervised = new Supervised<Resource>({
    name: 'resource',
    service: { ...quietService, clock },
    reconnectMaxMs,
    open: async (lost) => {
      const resource = { id: opened.length, lose: lost }
      opened.push(resource)
      await open?.(resource.id, lost)
      return resource
    },
    ended,
    close: async ({ id }) => {
      closed.push(id)
    },
    reopened: () => {
      reopened += 1
    },
  })
  return { supervised, opened, closed, reopened: () => reopened }
}

describe('supervision', () => {
  it('reopens a lost resource, and reports why it is not open', async () => {
    const { supervised, opened, closed, reopened } = supervise(undefined, 1_000)
    const first = await supervised.whenOpen()
    first.lose(new Error('connection reset'))
    await eventually(() => expect(supervised.notReady()).toContain('connection reset'))
    const second = await supervised.whenOpen()
    expect(second.id).toBe(1)
    expect(supervised.notReady()).toBeUndefined()
    expect(reopened()).toBe(1)
    await supervised.close()
    expect(closed).toEqual([0, 1])
    expect(opened).toHaveLength(2)
  })

  it('logs why it cannot open the resource: at once, and then every 30 s, however often it tries', async () => {
    const lines: unknown[][] = []
    const at = { ms: 0 }
    let attempts = 0
    const warn = (fields: object, message: string) => void lines.push([message, fields])
    const supervised = new Supervised({
      name: 'connection for publishing',
      service: { ...quietService, log: { ...quietService.log, warn }, clock: { ...clockOf({}), nowMs: () => at.ms } },
      reconnectMaxMs: 2,
      open: () => {
        attempts += 1
        return Promise.reject<object>(new Error('connect ECONNREFUSED 127.0.0.1:5672'))
      },
      close: async () => {},
    })
    await eventually(() => expect(attempts).toBeGreaterThan(20))
    const message = 'connection for publishing: connect ECONNREFUSED 127.0.0.1:5672; trying again'
    expect(lines).toEqual([[message, { retryInMs: expect.any(Number), lines: 1 }]])
    at.ms = 30_000
    await eventually(() => expect(lines).toHaveLength(2))
    expect(lines[1]).toEqual([message, { retryInMs: expect.any(Number), lines: expect.any(Number) }])
    await supervised.close()
    expect(lines).toHaveLength(2)
  })

  it('reports the state of the resource that it depends on before its own state', async () => {
    let why: string | undefined = 'connection is not open: 127.0.0.1:5672: connect ECONNREFUSED'
    const channel = new Supervised({
      name: 'channel',
      where: 'broker:5672',
      needs: () => why,
      service: quietService,
      reconnectMaxMs: 20,
      open: () => new Promise<object>(() => {}),
      close: async () => {},
    })
    expect(channel.notReady()).toBe(why)
    why = undefined
    expect(channel.notReady()).toBe('channel is not open yet: broker:5672 has not answered')
    await channel.close()
  })

  it('does not return a resource that was lost while opening, and closes it', async () => {
    const { supervised, closed } = supervise(async (id, lost) => {
      if (id === 0) lost(new Error('lost while opening'))
      await new Promise((resolve) => setTimeout(resolve, 10))
    })
    expect((await supervised.whenOpen()).id).toBe(1)
    await eventually(() => expect(closed).toEqual([0]))
    await supervised.close()
    expect(closed).toEqual([0, 1])
  })

  it.each(['current', 'whenOpen', 'notReady'] as const)(
    'detects at the next use (%s) that the resource ended without an event',
    async (use) => {
      const ended = new Map<number, Error>()
      const { supervised, closed } = supervise(undefined, 20, ({ id }) => ended.get(id))
      expect((await supervised.whenOpen()).id).toBe(0)
      ended.set(0, new Error('silently'))
      if (use === 'current') expect(supervised.current).toBeUndefined()
      if (use === 'notReady') expect(supervised.notReady()).toBe('resource is not open: silently')
      expect((await supervised.whenOpen()).id).toBe(1)
      await supervised.close()
      expect(closed).toEqual([0, 1])
    },
  )

  it('does not return a resource that ended without an event while opening, and closes it', async () => {
    const { supervised, closed } = supervise(undefined, 20, ({ id }) =>
      id === 0 ? new Error('ended early') : undefined,
    )
    expect((await supervised.whenOpen()).id).toBe(1)
    await eventually(() => expect(closed).toEqual([0]))
    await supervised.close()
  })

  it('keeps retrying when the configuration is wrong, but rejects callers that wait', async () => {
    const { supervised, opened } = supervise(async () => {
      throw new Misconfigured('wrong properties')
    })
    await expect(supervised.whenOpen()).rejects.toThrow('wrong properties')
    await eventually(() => expect(opened.length).toBeGreaterThan(2))
    await supervised.close()
  })

  it('ends a wait when it is closed or when the caller aborts the wait', async () => {
    const { supervised } = supervise(() => new Promise(() => {}))
    const stop = new AbortController()
    const aborted = expect(supervised.whenOpen(stop.signal)).rejects.toThrow('stopped waiting')
    const pending = expect(supervised.whenOpen()).rejects.toThrow('stopped')
    stop.abort()
    await aborted
    await supervised.close()
    await pending
    await expect(supervised.whenOpen()).rejects.toThrow('stopped')
  })

  it('backs off when each resource is lost right after it opens', async () => {
    const pausesMs: number[] = []
    const real = clockOf(quietService)
    const after = (ms: number, due: () => void) => {
      pausesMs.push(ms)
      return real.after(0, due)
    }
    const loseAtOnce = async (_: number, lost: (reason: Error) => void) => {
      setTimeout(() => lost(new Error('connection reset')), 0)
    }
    const { supervised } = supervise(loseAtOnce, 1_000, undefined, { ...real, after, nowMs: () => 0 })
    await eventually(() => expect(pausesMs.length).toBeGreaterThan(8))
    await supervised.close()
    for (const ms of pausesMs.slice(5)) expect(ms).toBeGreaterThanOrEqual(500)
  })
})
