// Runs the pre-stop hook of a broker with test doubles of the commands `getent` (DNS) and `rabbitmq-upgrade`.
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { parse } from 'yaml'
import { z } from 'zod'
import { KUBERNETES, manifestsIn } from './manifests.ts'

const HOST = 'rabbitmq-0.rabbitmq-nodes.ims'
const lifecycle = z.object({ preStop: z.object({ exec: z.object({ command: z.array(z.string()) }) }) })
const containers = z.object({ containers: z.array(z.object({ name: z.string(), lifecycle })).min(1) })
const statefulSet = z.object({ spec: z.object({ template: z.object({ spec: containers }) }) })

const commandIn = (manifest: unknown): string[] =>
  statefulSet
    .parse(manifest)
    .spec.template.spec.containers.flatMap(({ lifecycle: { preStop } }) => preStop.exec.command)

const ofThree = commandIn(manifestsIn('rabbitmq/rabbitmq-statefulset.yaml')[0])
const patch = readFileSync(join(KUBERNETES, 'overlays/single/rabbitmq-statefulset-patch.yaml'), 'utf8')
const ofOne = commandIn(parse(patch))

describe('the pre-stop hook', () => {
  let directory: string
  const path = (name: string) => join(directory, name)

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'ims-pre-stop-'))
    writeFileSync(path('calls'), '')
    program('getent', `[ "$*" = "ahosts ${HOST}" ] && [ -e '${path('name-is-known')}' ]`)
  })
  afterEach(() => rmSync(directory, { recursive: true, force: true }))

  const program = (name: string, script: string) => writeFileSync(path(name), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  const nameIsKnown = () => writeFileSync(path('name-is-known'), '')

  async function callsOf([file = '', ...args]: readonly string[]): Promise<string[]> {
    const env = {
      ...process.env,
      PATH: `${directory}${delimiter}${process.env.PATH}`,
      RABBITMQ_NODENAME: `rabbit@${HOST}`,
    }
    await promisify(execFile)(file, args, { env })
    return readFileSync(path('calls'), 'utf8').split('\n').filter(Boolean)
  }

  const noted = `echo "$*" >>'CALLS'`
  const upgrade = (more = '') => program('rabbitmq-upgrade', `${noted.replace('CALLS', path('calls'))}\n${more}`)

  it('waits until the other brokers have a quorum, then drains, on one of three brokers', async () => {
    nameIsKnown()
    upgrade()
    expect(await callsOf(ofThree)).toEqual(['await_online_quorum_plus_one --timeout 60', 'drain --timeout 30'])
  })

  it('drains at once on a single broker', async () => {
    nameIsKnown()
    upgrade()
    expect(await callsOf(ofOne)).toEqual(['drain --timeout 30'])
  })

  it.each([
    ['one of three brokers', ofThree],
    ['the only broker', ofOne],
  ])('neither waits nor drains on %s if its DNS name is already deleted', async (_, command) => {
    upgrade()
    expect(await callsOf(command)).toEqual([])
  })

  it('stops waiting when the DNS name is deleted, and leaves no process that keeps its output open', async () => {
    nameIsKnown()
    // The hook must end before this command, which runs until the test removes its directory.
    upgrade(`rm '${path('name-is-known')}'; while [ -e '${path('calls')}' ]; do sleep 1; done`)
    expect(await callsOf(ofThree)).toEqual(['await_online_quorum_plus_one --timeout 60'])
  })
})
