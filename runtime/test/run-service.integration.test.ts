// A service process starts, reports its state, and exits. Each test starts a process.
import { createServer } from 'node:http'
import { afterEach, describe, expect, it } from '@jest/globals'
import { listen } from '../src/index.ts'
import { askAdmin, endFixtures, startFixture } from './fixture-process.ts'

afterEach(endFixtures)

describe('a service process', () => {
  it('is live and ready once started, and exposes its metrics', async () => {
    const fixture = startFixture({ FIXTURE_BEHAVIOUR: 'runs' })
    await fixture.line('ready')
    expect((await askAdmin(fixture, '/livez')).status).toBe(200)
    const ready = await askAdmin(fixture, '/readyz')
    expect([ready.status, await ready.json()]).toEqual([200, { status: 'ready' }])
    const metrics = await (await askAdmin(fixture, '/metrics')).text()
    expect(metrics).toContain('ims_messages_consumed_total{queue="fixture",service="fixture"} 1')
    expect(metrics).toContain('ims_ready{service="fixture"} 1')
    expect(metrics).toContain('process_resident_memory_bytes')
    expect((await askAdmin(fixture, '/')).status).toBe(404)
    const post = await askAdmin(fixture, '/livez', 'POST')
    expect([post.status, post.headers.get('allow')]).toEqual([405, 'GET, HEAD'])
  })

  it('is live but not ready while it starts, and exits with 0 on a signal during startup', async () => {
    const fixture = startFixture({ FIXTURE_BEHAVIOUR: 'starts-for-ever' })
    await fixture.line('configured')
    expect((await askAdmin(fixture, '/livez')).status).toBe(200)
    const ready = await askAdmin(fixture, '/readyz')
    expect([ready.status, await ready.json()]).toEqual([
      503,
      { status: 'not ready', reasons: ['the service is starting'] },
    ])
    fixture.signal('SIGTERM')
    expect(await fixture.exitCode()).toBe(0)
    // Resources that were registered before the signal are closed.
    expect(fixture.messages().slice(-3)).toEqual(['second could not close cleanly', 'closing first', 'stopped'])
  })

  it('reports why startup is not complete', async () => {
    const fixture = startFixture({ FIXTURE_BEHAVIOUR: 'says-why-it-starts-for-ever' })
    await fixture.line('configured')
    const ready = await askAdmin(fixture, '/readyz')
    expect(await ready.json()).toEqual({
      status: 'not ready',
      reasons: ['the service is starting', 'waiting for MySQL on db:3306: Access denied'],
    })
  })

  it('reports startup as still open at the shutdown timeout when startup ignores the signal', async () => {
    const fixture = startFixture({ FIXTURE_BEHAVIOUR: 'ignores-the-signal', SHUTDOWN_TIMEOUT_MS: '200' })
    await fixture.line('configured')
    fixture.signal('SIGTERM')
    expect(await fixture.exitCode()).toBe(1)
    expect(fixture.lines.at(-1)).toMatchObject({ open: ['startup', 'second', 'first', 'the admin port'] })
  })

  it('has written its whole log when it exits', async () => {
    const fixture = startFixture({ FIXTURE_BEHAVIOUR: 'is-talkative-at-the-end' })
    await fixture.line('ready')
    fixture.signal('SIGTERM')
    expect(await fixture.exitCode()).toBe(0)
    expect(fixture.lines.filter(({ message }) => message === 'something to say').length).toBe(5_000)
    expect(fixture.messages().at(-1)).toBe('stopped')
  })

  it('refuses to start on a Node.js older than 24', async () => {
    const older = "data:text/javascript,Object.defineProperty(process,'version',{value:'v22.23.3'})"
    const fixture = startFixture({ FIXTURE_BEHAVIOUR: 'runs', NODE_OPTIONS: `--import=${older}` })
    expect(await fixture.exitCode()).toBe(78)
    expect(fixture.messages()).toEqual(['configuration: this is Node.js v22.23.3, and fixture needs 24 or later'])
  })

  it('is not ready when one of its resources is not ready, and reports the reason', async () => {
    const fixture = startFixture({ FIXTURE_BEHAVIOUR: 'is-not-ready' })
    await fixture.line('ready')
    const ready = await askAdmin(fixture, '/readyz')
    expect([ready.status, await ready.json()]).toEqual([503, { status: 'not ready', reasons: ['the broker is away'] }])
    expect(await (await askAdmin(fixture, '/metrics')).text()).toContain('ims_ready{service="fixture"} 0')
  })

  it.each(['SIGTERM', 'SIGINT'] as const)('closes resources in reverse order on %s, exits with 0', async (signal) => {
    const fixture = startFixture({ FIXTURE_BEHAVIOUR: 'runs' })
    await fixture.line('ready')
    fixture.signal(signal)
    expect(await fixture.exitCode()).toBe(0)
    // A resource that fails to close is logged, and the others are still closed.
    expect(fixture.messages().slice(-5)).toEqual([
      'stopping',
      'closing second',
      'second could not close cleanly',
      'closing first',
      'stopped',
    ])
  })

  it('is not ready while it stops; at the shutdown timeout it names the open resources and exits with 1', async () => {
    const fixture = startFixture({ FIXTURE_BEHAVIOUR: 'closes-never', SHUTDOWN_TIMEOUT_MS: '5000' })
    await fixture.line('ready')
    fixture.signal('SIGTERM')
    await fixture.line('stopping')
    const ready = await askAdmin(fixture, '/readyz')
    expect([ready.status, await ready.json()]).toEqual([
      503,
      { status: 'not ready', reasons: ['the service is stopping'] },
    ])
    expect(await fixture.exitCode()).toBe(1)
    expect(fixture.lines.at(-1)).toMatchObject({
      level: 'error',
      open: ['the stubborn one', 'first', 'the admin port'],
    })
  })

  it('exits with 0 on a signal, both while it is still loading and when it is ready', async () => {
    const early = `--import=${import.meta.dirname}/../src/early-signals.ts`
    const waiting =
      'console.log(JSON.stringify({ message: "loading" })); await new Promise((go) => setTimeout(go, WAIT))'
    const loading = (ms: number) =>
      `--import=data:text/javascript,${encodeURIComponent(waiting.replace('WAIT', `${ms}`))}`
    const fixture = startFixture({ FIXTURE_BEHAVIOUR: 'runs' }, early, loading(600_000))
    await fixture.line('loading')
    fixture.signal('SIGTERM')
    expect(await fixture.exitCode()).toBe(0)
    const loaded = startFixture({ FIXTURE_BEHAVIOUR: 'runs' }, early, loading(1))
    await loaded.line('ready')
    loaded.signal('SIGTERM')
    expect(await loaded.exitCode()).toBe(0)
    expect(loaded.messages().slice(-2)).toEqual(['closing first', 'stopped'])
  })

  it('exits at once on the second signal', async () => {
    const fixture = startFixture({ FIXTURE_BEHAVIOUR: 'closes-never' })
    await fixture.line('ready')
    fixture.signal('SIGTERM')
    await fixture.line('stopping')
    fixture.signal('SIGINT')
    expect(await fixture.exitCode()).toBe(130)
    expect(fixture.messages().at(-1)).toBe('second signal: exiting at once')
  })

  it.each([
    ['throws', 70, 'cannot start: no such luck'],
    ['is-misconfigured', 78, 'cannot start: the queue differs'],
  ])('closes its resources when startup fails (%s), and exits with %d', async (behaviour, code, message) => {
    const fixture = startFixture({ FIXTURE_BEHAVIOUR: behaviour })
    expect(await fixture.exitCode()).toBe(code)
    expect(fixture.messages()).toEqual(expect.arrayContaining([message, 'closing second', 'closing first']))
  })

  it.each(['throws-later', 'rejects-later'])('logs an uncaught error (%s) and exits with 70', async (behaviour) => {
    const fixture = startFixture({ FIXTURE_BEHAVIOUR: behaviour })
    expect(await fixture.exitCode()).toBe(70)
    expect(fixture.lines.at(-1)).toMatchObject({
      level: 'error',
      message: 'bug: unexpected error',
      error: expect.stringContaining('out of the blue'),
    })
  })

  it('names every invalid and missing variable at once, one per line, and exits with 78', async () => {
    const fixture = startFixture({
      LOG_LEVEL: 'loud',
      ADMIN_PORT: '12x',
      FIXTURE_PASSWORD_FILE: '/nowhere',
    })
    expect(await fixture.exitCode()).toBe(78)
    expect(fixture.messages()).toEqual([
      expect.stringMatching(/^configuration: LOG_LEVEL: /),
      'configuration: ADMIN_PORT: must be a whole number',
      expect.stringMatching(/^configuration: FIXTURE_PASSWORD_FILE: cannot read \/nowhere: /),
      'configuration: FIXTURE_BEHAVIOUR: is missing',
    ])
  })

  it('names the process that uses its admin port, and exits with 78', async () => {
    const holder = createServer()
    const port = await listen(holder, { host: '127.0.0.1', port: 0, variable: 'PORT' })
    const fixture = startFixture({ FIXTURE_BEHAVIOUR: 'runs', ADMIN_PORT: String(port) })
    expect(await fixture.exitCode()).toBe(78)
    holder.close()
    const by = process.platform === 'linux' ? `process ${process.pid} (` : 'another process'
    expect(fixture.messages()[0]).toContain(`cannot start: port ${port} is taken by ${by}`)
    expect(fixture.messages()[0]).toContain('set ADMIN_PORT to a free port')
  })
})
